"""Checkpoints: folders that are whole or not there, so a killed run continues from the last whole one.

A checkpoint is written into `.tmp-STEP`, its manifest last, and then renamed. Weights are safetensors; optimizer,
schedule and random states are read by torch's weights_only loader. Nothing pickled is ever loaded. Imports no torch.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irctl import files, tables
from irctl.errors import ConfigError, DataError

MANIFEST = "irctl.json"
WEIGHTS = "weights.safetensors"
PREFIX = "step-"
VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint. manifest: step, config_sha256, data, method, has_state, processes."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def step(self) -> int:
        return int(self.manifest["step"])


def staging(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step is written; an earlier attempt is removed by the first process."""
    return folder / f".tmp-{step}"


def open_staging(folder: Path, step: int) -> Path:
    """An empty staging folder."""
    path = staging(folder, step)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def publish(folder: Path, step: int, manifest: dict[str, Any]) -> Path:
    """Make the staged files a checkpoint: everything on disk, manifest last, then the rename."""
    source, target = staging(folder, step), folder / f"{PREFIX}{step}"
    files.open_modes(source)
    sync_files(source)
    entry = source / MANIFEST
    entry.write_text(json.dumps({"version": VERSION, "step": step, **manifest}, indent=1, sort_keys=True))
    sync(entry)
    if target.exists():  # the same step again, after a stop at an epoch's end
        old = folder / f".old-{step}"
        target.rename(old)
        source.rename(target)
        shutil.rmtree(old)
    else:
        source.rename(target)
    sync(folder)
    return target


def whole(folder: Path) -> list[Checkpoint]:
    """All whole checkpoints, oldest first. A replaced one whose replacement never came counts again."""
    complete = []
    for old in folder.glob(".old-*"):
        target = folder / f"{PREFIX}{old.name.removeprefix('.old-')}"
        if target.exists():
            shutil.rmtree(old)
        else:
            old.rename(target)
    for path in folder.glob(f"{PREFIX}*"):
        manifest = path / MANIFEST
        if manifest.is_file():
            complete.append(Checkpoint(path, tables.json_object(manifest)))
    return sorted(complete, key=lambda c: c.step)


def newest(folder: Path) -> Checkpoint | None:
    """The last whole checkpoint that training can continue from, or None."""
    resumable = [c for c in whole(folder) if c.manifest.get("has_state")]
    return resumable[-1] if resumable else None


def at(folder: Path, step: int) -> Checkpoint | None:
    """The whole checkpoint of a step."""
    return next((c for c in whole(folder) if c.step == step), None)


def rotate(folder: Path, keep: int, best_step: int | None) -> None:
    """Remove all but the newest `keep` and the best."""
    others = [c for c in whole(folder) if c.step != best_step]
    for checkpoint in others[: max(0, len(others) - keep)]:
        shutil.rmtree(model_of(folder, checkpoint.step), ignore_errors=True)
        shutil.rmtree(checkpoint.folder)


def model_of(folder: Path, step: int) -> Path:
    """Where a method that writes its model at each checkpoint has that of a step."""
    return folder / f"checkpoint-{step}"


def check_fits(checkpoint: Checkpoint, *, config_sha256: str, data: str, processes: int, zero_stage: int) -> None:
    """Raise ConfigError or DataError if a checkpoint is of another configuration, other data or another sharding."""
    manifest, where = checkpoint.manifest, checkpoint.folder
    if manifest["version"] != VERSION:
        raise DataError(f"{where}: checkpoint format {manifest['version']}, expected {VERSION}", hint="Start a new run")
    if manifest["data"] != data:  # first: other data may have other mined negatives, which are a setting
        raise DataError(
            f"{where}: was trained on other data (the collection or its negatives changed)",
            hint="Start a new run with --resume none",
        )
    if manifest["config_sha256"] != config_sha256:
        raise ConfigError(
            f"{where}: was trained with other settings",
            hint="Continue with the run's own config.json (irctl train --config), or start new with --resume none",
        )
    if zero_stage and manifest["processes"] != processes:
        raise ConfigError(
            f"{where}: its optimizer is cut for {manifest['processes']} devices by ZeRO, found {processes}",
            hint=f"Continue on {manifest['processes']} devices",
        )


def sync_files(folder: Path) -> None:
    """All files below a folder onto the disk."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            sync(file)


def sync(path: Path) -> None:
    """A file, or the names in a folder, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
