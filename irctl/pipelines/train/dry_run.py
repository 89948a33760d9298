"""What `irctl train --dry-run` prints: data, batch arithmetic, launch, memory, disk."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import paths
from irctl.errors import RunFailed
from irctl.pipelines.train import checks, regularizer_lines
from irctl.training import batch_plan
from irctl.training.objective import terms
from irctl.training.parallel import deepspeed_settings
from irctl.training.processes import launch
from irctl.types import Silent

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.pipelines.train.preparation import Described


def describe(config: Config, *, probe: bool = False, out: str | None = None) -> dict[str, Any]:
    """What --dry-run prints: data, batch arithmetic, steps, launch line, DeepSpeed settings, memory.

    probe: train two steps here, to measure the memory that they take.
    """
    from irctl.pipelines.train import memory, preparation, trial

    said = Silent()
    config, plan = checks.check(config, said, out)
    data = preparation.kind_of(config.train.method).describe(config)
    _check_disk(config, plan.devices, said, is_here=data.sizes is not None or preparation.trains_encoder(config))
    described: dict[str, Any] = {"data": data.facts, **data.lists}
    if said.lines:
        described["notices"] = [*said.lines, *described.get("notices", ())]
    is_encoder = preparation.trains_encoder(config)
    described["batch"] = batch_plan.plan(config, data.sizes).as_dict()
    if not is_encoder:
        del described["batch"]["negatives_per_query"]
    if data.sizes and data.sizes.queries:
        steps = batch_plan.steps(config, plan, data.sizes.queries)
        every = batch_plan.save_every(config, steps)
        described["steps"] = {**steps.as_dict(), "checkpoint": f"every {every} steps" if every else "every epoch"}
        if config.hardneg.every:
            described["steps"]["negatives mined again"] = f"after every {config.hardneg.every} epochs, by the model"
        if steps.notice:
            described["notices"] = [*described.get("notices", ()), steps.notice]
    else:
        described["steps"] = {"steps": config.train.max_steps or "unknown until the data is here"}
    if is_encoder:
        described |= _of_encoder(config, plan, data)
    if said_of := regularizer_lines.notices(config, plan, data.sizes):
        described["notices"] = [*described.get("notices", ()), *said_of]
    folder = Path("runs/ID")
    described["launch"] = shlex.join(launch.argv(config, folder))
    uses = deepspeed_settings.uses_deepspeed(config.hardware)
    described["deepspeed"] = (
        json.dumps(deepspeed_settings.settings(config.hardware), indent=1) if uses else "not used: plain data parallel"
    )
    described["memory"] = dict(data.memory) or memory.describe(config, plan)
    if probe:
        whose = "the first device" if config.hardware.device_kind == "cuda" else "a process, libraries included"
        peak = trial.peak_memory_gib(config)
        described["memory"]["activations"] = f"{peak:.2f} GiB with all else: the peak of {whose} over two steps"
    return described


def _check_disk(config: Config, devices: int, said: Silent, *, is_here: bool) -> None:
    """RunFailed as the training would be; where what it reads is not here, it will run elsewhere: then only said."""
    from irctl.pipelines.train import memory

    try:
        memory.check_disk(config, devices, paths.runs())
    except RunFailed as e:
        if is_here:
            raise
        said.say(e.message)


def _of_encoder(config: Config, plan: batch_plan.BatchPlan, data: Described) -> dict[str, Any]:
    """Parts of the model with their rates, the terms of the loss, and how vectors are compared."""
    from irctl.models import locate, similarity
    from irctl.pipelines.train import model_parts

    described: dict[str, Any] = {}
    if parts := model_parts.describe(config):
        described["parts"] = parts
    described["loss"] = {
        p.name: f"weight {p.weight:g}, candidates {p.view}, temperature "
        + ("measured over the first 4 loss batches" if p.temperature is None else f"{p.temperature:g}")
        + (f", {of_data}" if (of_data := data.of_losses.get(p.name)) else "")
        for p in terms.parts(config)
    }
    if config.train.regularizer:
        described["regularizers"] = regularizer_lines.describe(config, plan, data)
    described["similarity"] = {
        "scores": similarity.describe_training(locate.find_local(config.model.name, config.model.revision), config)
    }
    return described
