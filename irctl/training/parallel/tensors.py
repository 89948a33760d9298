"""Nested tensors on a device, and weights to and from safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Tensors to safetensors; of tensors that share memory (tied embeddings) each gets its own copy."""
    seen: set[int] = set()
    whole = {}
    for name, tensor in weights.items():
        plain = tensor.detach().cpu().contiguous()
        whole[name] = plain.clone() if plain.data_ptr() in seen else plain
        seen.add(plain.data_ptr())
    safetensors.torch.save_file(whole, path)


def read_weights(path: Path, model: nn.Module) -> None:
    """Weights into a model whose names and shapes must be the same."""
    model.load_state_dict(safetensors.torch.load_file(path), strict=True)


def to_device(value: Any, device: torch.device) -> Any:
    """Nested tensors on a device, everything else as it is."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {k: to_device(v, device) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(to_device(v, device) for v in value)
    return value
