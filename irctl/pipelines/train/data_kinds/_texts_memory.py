"""Memory of a training of a compressive encoder: the frozen language model, and all that is kept of what trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irctl.errors import EnvironmentUnfit
from irctl.models.compressive import sizes
from irctl.models.compressive.located import find_language_model
from irctl.pipelines.train.memory import GIB, SHARED_BYTES, STATE_BYTES, ModelMemory, count_checkpoints
from irctl.training.texts.settings import Compression

if TYPE_CHECKING:
    from irctl.config import Config

HALF = ("bf16", "fp16")


def of_training(config: Config, compression: Compression) -> ModelMemory | None:
    """None where nothing is known of the language model. ConfigError for an encoder of more layers than it has."""
    own = compression.own
    found = sizes.read_config(own.lm, find_language_model(own.lm, config.model.revision))
    if found is None:
        return None
    counted = sizes.count(found, own.layers)
    sizes.check_layers(own.layers, counted.layers, own.lm)
    shared, devices = SHARED_BYTES[config.hardware.zero_stage], config.hardware.devices
    return ModelMemory(
        parameters=counted.encoder,
        kept_parameters=counted.encoder,
        added=0,
        trained=counted.encoder,
        state_bytes=STATE_BYTES - shared + shared / devices,
        frozen_bytes=0,
        has_optimizer=config.train.save_state,
        text_bytes=0,
        beside_bytes=counted.language_model * (2 if config.hardware.precision in HALF else 4),
        **count_checkpoints(config),
    )


def check(config: Config, compression: Compression) -> None:
    """EnvironmentUnfit where weights and optimizer alone do not fit a device of the profile."""
    taken, limit = of_training(config, compression), config.hardware.memory_gib
    if taken is None or not limit or taken.device_gib <= limit:
        return
    left = limit * GIB - taken.trained * taken.state_bytes
    width = 2 if config.hardware.precision in HALF else 4
    fits = f"{max(left, 0) / width / 1e9:.1f} billion parameters beside this encoder" if left > 0 else "none beside it"
    raise EnvironmentUnfit(
        f"acerag.lm={compression.own.lm}: weights and optimizer take {taken.device_gib:.1f} GiB a device "
        f"({taken.beside_bytes / GIB:.1f} of them the frozen model, the rest an encoder of {taken.trained / 1e9:.2f} "
        f"billion parameters), and a device of the profile has {limit:g}; activations are not counted",
        hint=f"A language model that fits: {fits}. Or lower acerag.layers, or use a profile of larger devices",
    )


def lines(config: Config, compression: Compression) -> dict[str, Any]:
    """For --dry-run."""
    taken = of_training(config, compression)
    if taken is None:
        return {"weights and optimizer": f"not estimated: {compression.own.lm} is not on this machine"}
    each = f"{taken.state_bytes:g} bytes a trained parameter"
    told: dict[str, Any] = {
        "encoder": f"{taken.trained:,} parameters, trained",
        "language model": f"{taken.beside_bytes / GIB:.2f} GiB, frozen",
        "weights and optimizer": f"{taken.device_gib:.2f} GiB a device ({each})",
        "checkpoints on disk": f"{taken.disk_gib:.2f} GiB at the most",
        "activations": "not estimated",
    }
    if config.hardware.memory_gib:
        told["device"] = f"{config.hardware.memory_gib:g} GiB"
    return told
