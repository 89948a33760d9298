"""The device and the arithmetic of encoding: what was asked for is run, or refused.

Training has its own loss scaling; this is for vectors only.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from irctl.errors import EnvironmentUnfit
from irctl.settings import Hardware

HALF = {"bf16": "bfloat16", "fp16": "float16"}


def choose_device(hardware: Hardware) -> str:
    """cpu, or this process's CUDA device. Raises EnvironmentUnfit where the profile's device is absent."""
    import torch

    if hardware.device_kind == "cpu":
        return "cpu"
    if not torch.cuda.is_available():
        raise EnvironmentUnfit("the profile asks for a CUDA device; torch finds none here", hint="Use --profile cpu")
    rank, devices = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if rank >= devices:
        raise EnvironmentUnfit(
            f"the profile asks for {hardware.devices} devices; {devices} are here",
            hint=f"Use --devices 0{f'-{devices - 1}' if devices > 1 else ''}",
        )
    return f"cuda:{rank}"


def choose_dtype(hardware: Hardware) -> str:
    """Name of the arithmetic that will run: float32, tf32, bfloat16 or float16. On a CPU tf32 is float32.

    Raises EnvironmentUnfit for bf16 on a GPU that would only emulate it.
    """
    if hardware.precision in HALF:
        import torch

        is_emulated = hardware.device_kind == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
        if is_emulated and hardware.precision == "bf16":
            raise EnvironmentUnfit(
                f"the profile asks for bf16; this GPU ({torch.cuda.get_device_name()}) has none",
                hint="Use --set hardware.precision=fp16",
            )
        return HALF[hardware.precision]
    return "tf32" if hardware.precision == "tf32" and hardware.device_kind == "cuda" else "float32"


@contextlib.contextmanager
def compute_in(dtype: str, device: Any) -> Any:
    """Run what is inside in this arithmetic; the process's own setting comes back afterwards."""
    import torch

    if dtype in HALF.values():
        with torch.autocast(device.type, dtype=getattr(torch, dtype)):
            yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if dtype == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
