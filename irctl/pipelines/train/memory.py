"""Memory that training will take, estimated from the weights' file header and the batch: for --dry-run."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from irctl import paths
from irctl.errors import RunFailed
from irctl.training.batch_plan import BatchPlan

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.settings import Train

GIB = 1 << 30
STATE_BYTES = 16
"""AdamW, a trainable parameter: weight 2 to 4, gradient, float32 master copy, two moments."""
WEIGHT_BYTES = 4
"""A parameter of the model that a training leaves."""
SHARED_BYTES = {0: 0, 1: 12, 2: 14, 3: 16}
"""Of these, what each ZeRO stage shares out over the devices."""


@dataclass(frozen=True)
class ModelMemory:
    """What the parameters of a training take. Activations are not in it: they depend on the texts."""

    parameters: int
    state_bytes: float  # of each, on a device: weight, gradient and optimizer, less what ZeRO shares out
    checkpoints: int  # kept at a time, the best included
    checkpoint_bytes: int  # of each, in one: weight, and two moments where the optimizer is kept

    @property
    def device_gib(self) -> float:
        return self.parameters * self.state_bytes / GIB

    @property
    def disk_gib(self) -> float:
        return self.parameters * self.checkpoints * self.checkpoint_bytes / GIB

    @property
    def model_gib(self) -> float:
        return self.parameters * WEIGHT_BYTES / GIB


def of_model(folder: Path, zero_stage: int, devices: int, train: Train) -> ModelMemory:
    """From the weights' headers. Raises DataError if one is torn."""
    shared = SHARED_BYTES[zero_stage]
    each = STATE_BYTES - shared + shared / devices
    return ModelMemory(count_parameters(folder), each, train.keep + 1, 12 if train.save_state else 4)


def check_disk(config: Config, devices: int, runs: Path, checkpoints: Path | None = None) -> None:
    """RunFailed unless the disk of the run folder has room for checkpoints and the model; unknown without its files.

    checkpoints: where a run that goes on has some already.
    """
    from irctl.models.locate import find_local

    located = find_local(config.model.name, config.model.revision)
    if located is None:
        return
    taken = of_model(located.folder, config.hardware.zero_stage, devices, config.train)
    there = [p.stat().st_size for p in checkpoints.rglob("*") if p.is_file()] if checkpoints else []
    needed, free = max(0.0, taken.disk_gib - sum(there) / GIB) + taken.model_gib, free_gib(runs)
    if needed > free:
        raise RunFailed(
            f"{runs}: {needed:.2f} GiB of checkpoints and model to come, {free:.2f} GiB free on the disk",
            hint="Free some, lower train.keep, drop train.save_state, or set IRCTL_RUNS to a larger disk",
        )


def free_gib(folder: Path) -> float:
    """Free space of the disk that a folder lies on, or will."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / GIB


def loss_matrix_gib(plan: BatchPlan, group_size: int) -> float:
    """Scores, labels and softmaxes of the whole loss batch, with the gradients, in float32."""
    return 6 * 4 * plan.loss * plan.loss * group_size / GIB


def describe(config: Config, plan: BatchPlan) -> dict[str, str]:
    """Lines of the estimate."""
    from irctl.models.locate import find_local

    located = find_local(config.model.name, config.model.revision)
    lines: dict[str, str] = {}
    if located is None:
        lines["weights and optimizer"] = "not estimated: the model is not on this machine"
    else:
        taken = of_model(located.folder, config.hardware.zero_stage, plan.devices, config.train)
        lines["parameters"] = f"{taken.parameters:,}"
        lines["weights and optimizer"] = (
            f"{taken.device_gib:.2f} GiB a device ({taken.state_bytes:g} bytes a parameter)"
        )
        lines["checkpoints on disk"] = (
            f"{taken.disk_gib:.2f} GiB ({taken.checkpoints} of {taken.checkpoint_bytes} bytes a parameter) and the "
            f"model {taken.model_gib:.2f} GiB, of {free_gib(paths.runs()):.2f} GiB free"
        )
    size = config.data.group_size
    if plan.negatives_per_query is not None and config.loss.inbatch != "own":
        needed = loss_matrix_gib(plan, size)
        lines["loss matrix"] = f"{needed:.2f} GiB a device ({plan.loss} x {plan.loss * size})"
    lines["activations"] = "not estimated"
    if config.hardware.memory_gib:
        lines["device"] = f"{config.hardware.memory_gib:g} GiB"
    return lines


def count_parameters(folder: Path) -> int:
    """Numbers in the safetensors files of a model folder, from their headers alone. Raises DataError if one is torn."""
    from irctl.models.fingerprints import read_header

    headers = [read_header(file)[0] for file in folder.rglob("*.safetensors")]
    return sum(math.prod(entry["shape"]) for entries in headers for entry in entries.values())
