"""A small random language model on disk, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from irctl.models.locate import LocatedModel

LAYERS = 4


def make_lm(folder: Path, shape: str, *, seed: int = 0) -> LocatedModel:
    """A random language model of four layers, in the shape of Llama or of Qwen3."""
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    common: dict[str, Any] = {
        "vocab_size": 61,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 128,
    }
    model = (
        LlamaForCausalLM(LlamaConfig(**common))
        if shape == "llama"
        else Qwen3ForCausalLM(Qwen3Config(**common, head_dim=8))
    )
    model.save_pretrained(folder)
    return LocatedModel(folder, str(folder), "", "folder")
