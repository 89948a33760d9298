"""Which arithmetic a device can do, and the refusal, before a model is loaded, of what it cannot.

`torch.cuda.is_bf16_supported()` says yes on V100 and T4, by emulation: capability decides here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from irctl import tables
from irctl.config import Config
from irctl.errors import EnvironmentUnfit
from irctl.origins import Kind
from irctl.settings import Hardware, Model
from irctl.training import trackers

if TYPE_CHECKING:
    from irctl.models.locate import LocatedModel

AMPERE = 8.0
"""First CUDA capability with bfloat16, TF32 and FlashAttention-2."""

FITTING_PROFILE = {"7.0": "v100x8", "7.5": "t4"}


def attention(model: Model, hardware: Hardware) -> str:
    """The attention kernel to load models with: model.attention, or the profile's."""
    return hardware.attention if model.attention == "auto" else model.attention


def check_declared(config: Config) -> None:
    """Refuse settings that contradict themselves, or that lack a package; needs no torch and no device."""
    trackers.check(config.train.report_to, config.origin("train.report_to"))
    hardware = config.hardware
    origin = config.origin("hardware.precision")
    if hardware.device_kind == "cpu" and hardware.precision in ("fp16", "tf32"):
        raise EnvironmentUnfit(
            f"hardware.precision={hardware.precision} (from {origin}): the CPU trains in fp32 or bf16",
            hint="Use --profile cpu",
        )
    if hardware.capability and hardware.device_kind == "cuda":
        _check_capability(config, float(hardware.capability), f"a device of capability {hardware.capability}")
    if attention(config.model, hardware) == "flash_attention_2" and hardware.device_kind == "cpu":
        raise _no_flash("the CPU")


def check_device(config: Config) -> None:
    """Refuse what this machine's device cannot do. Imports torch."""
    check_declared(config)
    if config.hardware.device_kind == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        wheel = config.hardware.torch_wheel
        raise EnvironmentUnfit(
            f"hardware.device_kind=cuda: torch {torch.__version__} sees no CUDA device",
            hint=f"Use --profile cpu, or install a CUDA build of torch{f' ({wheel})' if wheel != 'any' else ''}",
        )
    if torch.cuda.device_count() < config.hardware.devices:
        raise EnvironmentUnfit(
            f"hardware.devices={config.hardware.devices}: found {torch.cuda.device_count()} CUDA devices",
            hint="Name the devices there are with --devices",
        )
    major, minor = torch.cuda.get_device_capability()
    name = f"this GPU ({torch.cuda.get_device_name()}, SM {major}.{minor})"
    built_for = torch.cuda.get_arch_list()
    if not has_kernels(major, minor, built_for):
        wheel = "cu126" if major == 7 and minor == 0 else "a newer build"
        raise EnvironmentUnfit(
            f"{name}: torch {torch.__version__} has no kernels for it (built for {' '.join(built_for)})",
            hint=f"Install {wheel} of torch: pip install torch --index-url https://download.pytorch.org/whl/cu126"
            if wheel == "cu126"
            else f"Install {wheel} of torch",
        )
    _check_capability(config, float(f"{major}.{minor}"), name)


def has_kernels(major: int, minor: int, built_for: Iterable[str]) -> bool:
    """Whether a build for these ('sm_75', 'sm_90a') runs on a device: kernels run on later minors of their major."""
    architectures = (re.match(r"sm_(\d+)(\d)", arch) for arch in built_for)
    return any(m is not None and int(m[1]) == major and int(m[2]) <= minor for m in architectures)


def overflow_warning(model: str, precision: str, located: LocatedModel | None) -> str:
    """What to say of a checkpoint stored in bfloat16 that is to train in fp16, whose range is far smaller; else ''.

    model: its name. located: its place on this machine, or None.
    """
    if precision != "fp16" or located is None:
        return ""
    files = [located.folder / "config.json", *located.folder.glob("*/config.json")]
    stored = [tables.json_object(f) for f in files if f.is_file()]
    if not any("bfloat16" in (s.get("dtype"), s.get("torch_dtype")) for s in stored):
        return ""
    return (
        f"{model} is stored in bfloat16 and may overflow in fp16: a loss that is not finite ends the run "
        "(--set hardware.precision=fp32 is safe)"
    )


def training_flags(hardware: Hardware) -> dict[str, Any]:
    """The arguments of transformers' TrainingArguments that follow from the profile."""
    flags: dict[str, Any] = {
        "use_cpu": hardware.device_kind == "cpu",
        "bf16": hardware.precision == "bf16",
        "fp16": hardware.precision == "fp16",
    }
    if hardware.device_kind == "cuda":
        capability = float(hardware.capability or AMPERE)
        flags["tf32"] = hardware.precision in ("tf32", "bf16") and capability >= AMPERE
    return flags


def _check_capability(config: Config, capability: float, name: str) -> None:
    precision = config.hardware.precision
    if capability < AMPERE and precision in ("bf16", "tf32"):
        origin = config.origin("hardware.precision")
        asks = str(origin) if origin.kind is Kind.PROFILE else f"hardware.precision (from {origin})"
        fitting = FITTING_PROFILE.get(f"{capability:.1f}")
        raise EnvironmentUnfit(
            f"{asks} asks for {precision}; {name} has none",
            hint=f"Use --profile {fitting}" if fitting else "Use --set hardware.precision=fp16",
        )
    if capability < AMPERE and attention(config.model, config.hardware) == "flash_attention_2":
        raise _no_flash(name)


def _no_flash(name: str) -> EnvironmentUnfit:
    return EnvironmentUnfit(
        f"flash_attention_2: {name} has no kernels for it (needs capability {AMPERE})",
        hint="Use --set model.attention=sdpa",
    )
