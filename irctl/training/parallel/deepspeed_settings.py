"""DeepSpeed: when it is used, its settings, and how it is kept quiet where there is no GPU. Imports no torch."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError, EnvironmentUnfit
from irctl.settings import Hardware

if TYPE_CHECKING:
    from irctl.config import Config

TIMEOUT_S = 7200
"""Patience of a collective: the other processes wait while the first one evaluates."""


def uses_deepspeed(hardware: Hardware) -> bool:
    """Whether parameters or their optimizer are shared out by ZeRO; plain data parallel needs no DeepSpeed."""
    return hardware.zero_stage > 0


def check(config: Config) -> None:
    """ConfigError for what slices cannot give: a whole model while it is trained."""
    if config.train.epoch_models and uses_deepspeed(config.hardware):
        raise ConfigError(
            f"train.epoch_models (from {config.origin('train.epoch_models')}): with hardware.zero_stage="
            f"{config.hardware.zero_stage} DeepSpeed holds the weights in slices and half precision while it trains",
            hint="Drop it, or use hardware.zero_stage=0; the model of the run is written at the end",
        )


def settings(hardware: Hardware) -> dict[str, Any]:
    """ds_config.json. No optimizer or scheduler block: irctl's own serve every launcher, so ZeRO equals plain.

    A scheduler block would bring DeepSpeed's count of steps, one behind (irctl/training/loop/schedule.py).
    """
    stage, half = hardware.zero_stage, hardware.precision
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": hardware.device_kind == "cuda"}
    if stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    return {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": half == "bf16"},
        "fp16": {"enabled": half == "fp16", "initial_scale_power": 10},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1_000_000_000,
    }


def quiet_cpu_deepspeed(extensions: Path) -> None:
    """Stop DeepSpeed from compiling its shared-memory op, and give it its own folder for extensions.

    On a CPU it compiles that op when communication starts, silently and for minutes; a killed compile leaves a lock in
    the user's cache on which every later run waits for ever. Gloo does the work as well. To be called before the group
    exists.
    """
    os.environ["DS_ACCELERATOR"] = "cpu"
    os.environ["TORCH_EXTENSIONS_DIR"] = str(extensions)
    try:
        version = metadata.version("deepspeed")
    except metadata.PackageNotFoundError:
        raise EnvironmentUnfit(
            "hardware.zero_stage needs deepspeed, which is not installed",
            hint="pip install deepspeed, or --set hardware.zero_stage=0",
        ) from None
    from deepspeed import ops

    compatible = getattr(ops, "__compatible_ops__", None)  # a private name of 0.19
    if not isinstance(compatible, dict) or "deepspeed_shm_comm" not in compatible:
        raise EnvironmentUnfit(
            f"deepspeed {version}: no deepspeed_shm_comm among its ops, so it cannot be kept from compiling on a CPU",
            hint="Install deepspeed 0.19, or --set hardware.zero_stage=0",
        )
    compatible["deepspeed_shm_comm"] = False


def load_without_pickle() -> None:
    """Make DeepSpeed read its checkpoints by torch's weights_only loader, with the few of its own classes they hold.

    Its own loader unpickles whatever a file says.
    """
    import torch
    from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    def load(self: Any, path: str, map_location: Any = None) -> Any:
        with torch.serialization.safe_globals([ZeroStageEnum, fragment_address, LossScaler, DynamicLossScaler]):
            return torch.load(path, map_location=map_location, weights_only=True)

    TorchCheckpointEngine.load = load
