"""model.freeze_layers: the token embeddings and the first N blocks of a transformer keep their weights.

Which parameters these are is told by their names alone, so a dry run counts them from a file's header, without torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError

if TYPE_CHECKING:
    from irctl.config import Config

_BLOCK = re.compile(r"(?:^|\.)(?:layer|layers|block|blocks|h)\.(\d+)\.")
"""BERT, RoBERTa, MPNet, DistilBERT; ModernBERT, Gemma, Qwen; T5; GPT-2."""
_EMBEDDING = re.compile(r"embed|(?:^|\.)(?:wte|wpe|shared)\.")


def check(config: Config) -> None:
    """ConfigError where something else says already what of the model is trained."""
    model = config.model
    for name, is_set in (("freeze_base", model.freeze_base), ("lora_r", bool(model.lora_r))):
        if model.freeze_layers and is_set:
            why = (
                "freezes all of it" if name == "freeze_base" else "freezes all of it and trains adapters in every block"
            )
            raise ConfigError(
                f"model.freeze_layers={model.freeze_layers} (from {config.origin('model.freeze_layers')}): "
                f"model.{name}={getattr(model, name)} {why}",
                hint="Leave one of them out",
            )


def choose_frozen(names: Iterable[str], count: int, model: str) -> set[str]:
    """Those of the names of a transformer's parameters that are not trained.

    Raises ConfigError where it has fewer than `count` blocks, or none that is known by its name. model: its name.
    """
    block_of = {name: int(found[1]) if (found := _BLOCK.search(name)) else -1 for name in names}
    blocks = 1 + max(block_of.values(), default=-1)
    if blocks < count:
        has = f"has {blocks} blocks" if blocks else "has no blocks that are known by their names"
        raise ConfigError(f"model.freeze_layers={count}: {model} {has}", hint="Use fewer, 0 to train all of them")
    return {n for n, block in block_of.items() if 0 <= block < count or (block < 0 and _EMBEDDING.search(n))}


def freeze_layers(module: Any, count: int, model: str) -> None:
    """Take gradients from the first module's embeddings and first blocks. Raises what `choose_frozen` raises."""
    parameters = dict(module[0].named_parameters())
    for name in choose_frozen(parameters, count, model):
        parameters[name].requires_grad_(False)
