"""Memory that training will take, estimated from the weights' file header and the batch: for --dry-run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import paths, plugins
from irctl.errors import RunFailed
from irctl.pipelines.train import method_settings, model_parts, preparation
from irctl.pipelines.train.parameters import count_lora, count_parameters
from irctl.training import batch_plan
from irctl.training.batch_plan import BatchPlan
from irctl.training.groups import frozen_settings
from irctl.training.learning_rates import HEAD
from irctl.types import Silent

if TYPE_CHECKING:
    from irctl.config import Config

GIB = 1 << 30
STATE_BYTES = 16
"""AdamW, a trainable parameter: weight 2 to 4, gradient, float32 master copy, two moments."""
WEIGHT_BYTES = 4
"""A parameter of the model that a training leaves, and one in a checkpoint, trained or not."""
MOMENT_BYTES = 8
"""Of a trained parameter, in a checkpoint with the optimizer."""
CHECKPOINT_BYTES = 1 << 17
"""The rest of a checkpoint: file headers, random states, schedule, history."""
MANY_GIB = 1.0
"""Of epoch models over a frozen base, from which a training says so before it begins."""
SHARED_BYTES = {0: 0, 1: 12, 2: 14, 3: 16}
"""Of STATE_BYTES, what each ZeRO stage shares out over the devices."""


@dataclass(frozen=True)
class ModelMemory:
    """What the parameters of a training take. Activations are not in it: they depend on the texts."""

    parameters: int  # of the model
    added: int  # adapters, by an upper bound
    trained: int  # of both, those that are not frozen
    state_bytes: float  # of each trained one, on a device: weight, gradient, optimizer, less what ZeRO shares out
    frozen_bytes: float  # of each other one, on a device
    kept_parameters: int  # of both, those in a checkpoint
    kept: int  # checkpoints that stay, the best included
    checkpoints: int  # at a time: a new one is written before the oldest is removed
    has_optimizer: bool  # in a checkpoint
    text_bytes: int  # of the model's folder: vocabulary and settings; what is written beside the parameters
    epochs: int = 0  # after each of which a model and its state are kept
    beside_bytes: float = 0  # on each device, of a model that trains nothing and is in no checkpoint

    @property
    def device_gib(self) -> float:
        frozen = self.parameters + self.added - self.trained
        return (self.trained * self.state_bytes + frozen * self.frozen_bytes + self.beside_bytes) / GIB

    @property
    def checkpoint_gib(self) -> float:
        """One: weights, frozen ones too, and two moments of each trained one where the optimizer is kept."""
        moments = MOMENT_BYTES * self.trained if self.has_optimizer else 0
        return (WEIGHT_BYTES * self.kept_parameters + moments + CHECKPOINT_BYTES) / GIB

    @property
    def disk_gib(self) -> float:
        """The most that lies there at once: while the last checkpoint is written, or the model after it."""
        return self.epochs * self.epoch_gib + max(
            self.checkpoints * self.checkpoint_gib, self.kept * self.checkpoint_gib + self.model_gib
        )

    @property
    def epoch_gib(self) -> float:
        """One epoch's model and its state: links, but they outlive what they link to."""
        return self.checkpoint_gib + self.model_gib

    @property
    def model_gib(self) -> float:
        return (self.parameters * WEIGHT_BYTES + self.text_bytes) / GIB


def of_model(folder: Path, config: Config, devices: int) -> ModelMemory:
    """From the weights' headers. Parameters of a loss or a plugin are not known here. DataError if a header is torn."""
    stage, train = config.hardware.zero_stage, config.train
    shared = SHARED_BYTES[stage]
    parts = model_parts.of_model(config, folder)
    added = count_lora(folder, config.model.lora_r)[0] if config.model.lora_r else 0
    head = [p.count for p in parts if p.name == HEAD]
    whole = sum(p.count for p in parts)
    return ModelMemory(
        parameters=whole - added,
        added=added,
        trained=sum(p.trained for p in parts),
        # of a base that stays as it is a checkpoint has nothing
        kept_parameters=sum(head) if head and frozen_settings.is_frozen(config) else whole,
        state_bytes=STATE_BYTES - shared + shared / devices,
        frozen_bytes=WEIGHT_BYTES / devices if stage == 3 else WEIGHT_BYTES,
        has_optimizer=train.save_state,
        text_bytes=_text_bytes(folder),
        **count_checkpoints(config),
    )


def of_codes(config: Config, encoder: Path | None) -> ModelMemory:
    """Of a training whose checkpoints hold query centroids, the rotation and a map of queries; no encoder is in them.

    encoder: the folder of the one that is saved with the map. The bundle's arrays are counted, its codes are links.
    DataError where there is no bundle.
    """
    from irctl.pipelines.train import label_free

    bundle = label_free.find_bundle(config, Silent())[1]
    centroids = label_free.count_centroids(bundle)
    trained = centroids + (bundle.dim**2 if method_settings.settings_of(config).query == "adapter" else 0)
    copied = WEIGHT_BYTES * count_parameters(encoder) + _text_bytes(encoder) if encoder else 0
    return ModelMemory(
        parameters=trained + bundle.dim**2,
        kept_parameters=trained + bundle.dim**2,
        added=0,
        trained=trained,
        state_bytes=STATE_BYTES,
        frozen_bytes=WEIGHT_BYTES,
        has_optimizer=config.train.save_state,
        text_bytes=copied + WEIGHT_BYTES * trained,  # centroids of documents, and the map once more, in the model
        **count_checkpoints(config),
    )


def count_checkpoints(config: Config) -> dict[str, Any]:
    """Checkpoints that stay, and that lie there at once, by the settings."""
    keep, written = config.train.keep, batch_plan.most_checkpoints(config)
    if written is None:
        counted = {"kept": keep + 1, "checkpoints": keep + 2}
    else:
        counted = {"kept": min(keep + 1, written), "checkpoints": min(keep + 2, written)}
    return {**counted, "epochs": int(config.train.epochs) if config.train.epoch_models else 0}


def _text_bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.suffix in (".json", ".txt", ".model"))


def check_disk(config: Config, devices: int, runs: Path, checkpoints: Path | None = None) -> None:
    """RunFailed unless the disk of the run folder has room for checkpoints and the model; unknown without its files.

    checkpoints: where a run that goes on has some already.
    """
    from irctl.models.locate import find_local
    from irctl.pipelines.references import fitting

    located = find_local(config.model.name, config.model.revision)
    kind = preparation.kind_of(config.train.method)
    if hasattr(kind, "memory_of"):  # it trains no model of model.name
        known = kind.memory_of(config)
        if known is None:
            return
        taken = known
    elif _trains_codes_alone(config) and fitting.is_of_vectors(config.data.source):
        taken = of_codes(config, None)
    elif located is None:
        return
    elif _trains_codes_alone(config):
        taken = of_codes(config, located.folder)
    else:
        taken = of_model(located.folder, config, devices)
    there = [p.stat() for p in checkpoints.rglob("*") if p.is_file()] if checkpoints else []
    held = sum({s.st_ino: s.st_size for s in there}.values())  # a file of several names lies there once
    needed, free = max(taken.model_gib, taken.disk_gib - held / GIB), free_gib(runs)
    if needed > free:
        raise RunFailed(
            f"{runs}: {needed:.2f} GiB of checkpoints and model to come, {free:.2f} GiB free on the disk",
            hint="Free some, lower train.keep, drop train.save_state, or set IRCTL_RUNS to a larger disk",
        )


def epoch_models(taken: ModelMemory) -> str:
    """What the epochs of a training leave, in words."""
    return f"{taken.epochs} epoch model{'s' * (taken.epochs != 1)} of {taken.epoch_gib:.2f} GiB with the state"


def warn_of_epochs(config: Config, folder: Path, devices: int) -> str:
    """What to say where epochs keep the same frozen base many times over; empty where it is little."""
    if not (config.train.epoch_models and frozen_settings.is_frozen(config)):
        return ""
    taken = of_model(folder, config, devices)
    size = taken.epochs * taken.epoch_gib
    if size <= MANY_GIB:
        return ""
    return (
        f"train.epoch_models (from {config.origin('train.epoch_models')}): {epoch_models(taken)}, {size:.2f} GiB, each "
        "with the same frozen base. Set train.epoch_models=false; train.keep says how many checkpoints stay"
    )


def _trains_codes_alone(config: Config) -> bool:
    """Whether what is trained belongs to a bundle: its query centroids and a map, not the encoder of queries."""
    method = config.train.method
    settings = plugins.config_class("methods", method)
    return settings is not None and getattr(settings(**config.plugin(method)), "query", "") in ("frozen", "adapter")


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
        taken = of_model(located.folder, config, plan.devices)
        lines["parameters"] = f"{taken.parameters:,}"
        each = f"{taken.state_bytes:g} bytes a parameter"
        if taken.trained != taken.parameters:
            lines["parameters"] += f", {taken.trained:,} trained"
            each = f"{taken.state_bytes:g} bytes a trained parameter, {taken.frozen_bytes:g} a frozen one"
        lines["weights and optimizer"] = f"{taken.device_gib:.2f} GiB a device ({each})"
        of_epochs = f"{epoch_models(taken)}, " if taken.epochs else ""
        lines["checkpoints on disk"] = (
            f"{taken.disk_gib:.2f} GiB at the most ({of_epochs}{taken.checkpoints} at once of "
            f"{taken.checkpoint_gib:.2f} GiB, or {taken.kept} and the model {taken.model_gib:.2f} GiB), "
            f"of {free_gib(paths.runs()):.2f} GiB free"
        )
    size = config.data.group_size
    if plan.negatives_per_query is not None and config.loss.inbatch != "own":
        needed = loss_matrix_gib(plan, size)
        lines["loss matrix"] = f"{needed:.2f} GiB a device ({plan.loss} x {plan.loss * size})"
    lines["activations"] = "not estimated"
    if config.hardware.memory_gib:
        lines["device"] = f"{config.hardware.memory_gib:g} GiB"
    return lines
