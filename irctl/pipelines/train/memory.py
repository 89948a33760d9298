"""Memory that training will take, estimated from the weights' file header and the batch: for --dry-run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.training.batch_plan import BatchPlan

if TYPE_CHECKING:
    from irctl.config import Config

GIB = 1 << 30
STATE_BYTES = 16
"""AdamW, a trainable parameter: weight 2 to 4, gradient, float32 master copy, two moments."""
SHARED_BYTES = {0: 0, 1: 12, 2: 14, 3: 16}
"""Of these, what each ZeRO stage shares out over the devices."""


def estimate(config: Config, plan: BatchPlan) -> dict[str, Any]:
    """Lines of the estimate. Activations are not in it: they depend on the texts."""
    from irctl.models.locate import find_local

    found = find_local(config.model.name, config.model.revision)
    shown: dict[str, Any] = {}
    if found is None:
        shown["weights and optimizer"] = "not estimated: the model is not on this machine"
    else:
        parameters = count_parameters(found.folder)
        each = state_bytes(config, plan.devices)
        shown["parameters"] = f"{parameters:,}"
        shown["weights and optimizer"] = f"{parameters * each / GIB:.2f} GiB a device ({each:g} bytes a parameter)"
        kept, in_all = config.train.keep + 1, checkpoint_bytes(config)
        shown["checkpoints on disk"] = (
            f"{parameters * in_all / GIB:.2f} GiB ({kept} of {in_all // kept} bytes a parameter)"
        )
    if plan.negatives_per_query is not None and config.loss.inbatch != "own":
        scores = plan.loss * plan.loss * config.data.group_size
        # scores, labels and softmaxes of the whole loss batch, with the gradients, in float32
        shown["loss matrix"] = (
            f"{6 * 4 * scores / GIB:.2f} GiB a device ({plan.loss} x {plan.loss * config.data.group_size})"
        )
    shown["activations"] = "not estimated"
    if config.hardware.memory_gib:
        shown["device"] = f"{config.hardware.memory_gib:g} GiB"
    return shown


def state_bytes(config: Config, devices: int) -> float:
    """Bytes a device holds for each parameter: weight, gradient and optimizer, less what ZeRO shares out."""
    shared = SHARED_BYTES[config.hardware.zero_stage]
    return STATE_BYTES - shared + shared / devices


def checkpoint_bytes(config: Config) -> int:
    """Bytes on disk for each parameter: weights and two moments, in every checkpoint kept and the best."""
    return (config.train.keep + 1) * (12 if config.train.save_state else 4)


def count_parameters(folder: Path) -> int:
    """Numbers in the safetensors files of a model folder, from their headers alone. Raises DataError if one is torn."""
    from irctl.models.fingerprints import read_header

    headers = [read_header(file)[0] for file in folder.rglob("*.safetensors")]
    return sum(math.prod(entry["shape"]) for entries in headers for entry in entries.values())
