"""Activation checkpointing: a layer's activations are computed again in the backward pass, not kept.

transformers does so for models in training mode alone; a frozen one stays in it, its dropouts proven 0.
"""

from __future__ import annotations

from torch import nn


def checkpoint_activations(module: nn.Module) -> None:
    """Of every transformer in the module."""
    from transformers import PreTrainedModel

    for part in module.modules():
        if isinstance(part, PreTrainedModel):
            older = getattr(part, "gradient_checkpointing_enable", None)  # its name before transformers 5.22
            getattr(part, "activation_checkpointing_enable", older)({"use_reentrant": False})  # type: ignore[misc]
