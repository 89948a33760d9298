"""Checks of a machine against a recipe: are its model and data here, is there memory and disk for its training?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from irctl import paths
from irctl.errors import IrctlError
from irctl.pipelines.doctor.finding import Finding
from irctl.types import Silent

if TYPE_CHECKING:
    from irctl.config import Config

GIB = 2**30


def checks(config: Config) -> Iterator[Finding]:
    """What these settings describe, a training or a compression, against the memory, disk and data that are here."""
    sections = {k.split(".")[0] for k in config.origins}
    if "compress" in sections and not sections & {"train", "loss", "batch"}:
        yield from _compression(config)
        return
    from irctl.models.locate import find_local
    from irctl.pipelines.train import checks as training_checks

    try:
        config, plan = training_checks.check(config, Silent())
    except IrctlError as e:
        yield Finding("recipe", "error", e.message, e.hint or "Change the recipe")
        return
    yield Finding("recipe", "ok", f"{plan.global_} queries a step, {plan.micro} at once on each of {plan.devices}")
    yield _data(config)
    model = find_local(config.model.name, config.model.revision)
    if model is None:
        fix = "Fetch it where there is a network, or name a folder with --set model.name=FOLDER"
        yield Finding("recipe model", "warning", f"{config.model.name} is not on this machine", fix)
        return
    yield from _room(config, model.folder, plan.devices)


def _compression(config: Config) -> Iterator[Finding]:
    """Input, and for each method its settings and its memory."""
    from irctl.pipelines.compress import dry_run

    methods = [m.strip() for m in config.compress.method.split(",")]
    try:
        plan = dry_run.describe(config, [], here=config.compress.workers)
    except IrctlError as e:
        yield Finding("recipe input", "warning", e.message, e.hint or "Name them with --set compress.source=FOLDER")
        return
    rows = f", {plan['rows']:,} rows" if "rows" in plan else ""
    yield Finding("recipe input", "ok", f"{plan['input']}{rows}")
    for method in methods:
        try:
            described = dry_run.describe(config, [method], here=config.compress.workers).get(method)
        except IrctlError as e:
            yield Finding(f"recipe {method}", "error", e.message, e.hint or "Change the recipe")
            continue
        detail = (
            f"memory {described['memory']}; {described['codes on disk']}"
            if described
            else "known once the input is open"
        )
        yield Finding(f"recipe {method}", "ok", detail)


def _data(config: Config) -> Finding:
    from irctl.data.collections.training_source import open_training_source

    try:
        open_training_source(config)
    except IrctlError as e:
        return Finding("recipe data", "warning", e.message, e.hint or "irctl data ls lists what is here")
    return Finding("recipe data", "ok", config.data.source)


def _room(config: Config, model: Path, devices: int) -> Iterator[Finding]:
    """Weights, gradients and optimizer against memory; checkpoints against the disk of the runs."""
    from irctl.pipelines.train import memory

    taken = memory.of_model(model, config, devices)
    needed = taken.device_gib
    available = config.hardware.memory_gib or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    detail = f"{needed:.1f} of {available:.0f} GiB for weights and optimizer, activations not counted"
    fits = needed < available
    fix = "" if fits else "Use more devices with --set hardware.zero_stage=3, a larger one, or model.lora_r"
    yield Finding("recipe memory", "ok" if fits else "error", detail, fix)
    needed = taken.disk_gib
    available = memory.free_gib(paths.runs())
    fits = needed < available
    fix = "" if fits else "Set IRCTL_RUNS to a larger disk, or lower train.keep"
    yield Finding(
        "recipe disk", "ok" if fits else "error", f"{needed:.1f} of {available:.0f} GiB for checkpoints and model", fix
    )
