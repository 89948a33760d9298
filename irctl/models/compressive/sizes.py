"""How many parameters a language model and the encoder cut from it have, by its config.json: no weights are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from irctl import tables
from irctl.errors import ConfigError, DataError
from irctl.models.locate import LocatedModel

PUBLISHED: dict[str, dict[str, Any]] = {
    "meta-llama/Llama-2-7b-chat-hf": {
        "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "vocab_size": 32000, "max_position_embeddings": 4096,
    },
    "Qwen/Qwen3-8B": {
        "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 40960,
        "model_type": "qwen3",
    },
}  # fmt: skip
"""Of the recipes' models, for machines that do not have them yet (their config.json on the hub)."""


@dataclass(frozen=True)
class ModelSizes:
    """Numbers in the language model's weights and in the encoder's; layers of the language model."""

    language_model: int
    encoder: int
    layers: int


def count(config: Mapping[str, Any], layers: int) -> ModelSizes:
    """By the shapes of a decoder with gated MLPs and RMS norms: Llama, Mistral, Qwen. layers: of the encoder.

    Raises DataError for a configuration that says none of its sizes.
    """
    try:
        hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
        heads, words, all_layers = (int(config[k]) for k in ("num_attention_heads", "vocab_size", "num_hidden_layers"))
    except KeyError as e:
        raise DataError(f"config.json: has no {e.args[0]}: not a decoder whose size is known") from None
    width = int(config.get("head_dim") or hidden // heads)
    values = int(config.get("num_key_value_heads") or heads)
    attention = 2 * hidden * heads * width + 2 * hidden * values * width
    kind = str(config.get("model_type", ""))
    attention += 2 * width if kind.startswith("qwen3") else 0  # norms of queries and keys
    attention += (heads + 2 * values) * width if kind == "qwen2" else 0  # biases
    layer = attention + 3 * hidden * inner + 2 * hidden
    embeddings = words * hidden
    head = 0 if config.get("tie_word_embeddings") else embeddings
    return ModelSizes(embeddings + all_layers * layer + hidden + head, embeddings + layers * layer + hidden, all_layers)


def check_layers(layers: int, stored: int, name: str) -> None:
    """ConfigError for more layers than the model has: transformers would draw the others at random."""
    if not 1 <= layers <= stored:
        raise ConfigError(f"acerag.layers={layers}: expected 1 to {stored}, the layers of {name}")


def read_config(name: str, located: LocatedModel | None) -> Mapping[str, Any] | None:
    """config.json of a language model that is here, or what is published of one that is not; None where neither is."""
    if located is not None:
        return tables.json_object(located.folder / "config.json")
    return PUBLISHED.get(name)
