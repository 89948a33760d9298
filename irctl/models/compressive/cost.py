"""What a prefill costs with a compressed context: multiplications counted, and the law that predicts them.

The law says [(k/L) S + S/r + P] / (S + P) of the whole context's cost, and leaves out attention over pairs of tokens,
which is the larger part once a text has several times the hidden width in tokens; `predict` takes it in.

Key of the numbers: L layers of the language model, k of the encoder, S tokens of context, P of the rest, r the ratio.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from irctl.models.compressive.row_selection import count_rows
from irctl.models.modules import silence


def law(context: float, rest: float, ratio: float, layers: int, all_layers: int, *, is_kept: bool = False) -> float:
    """The share by the law. is_kept: the rows were encoded before, and no encoder runs."""
    encoder = 0.0 if is_kept else layers / all_layers * context
    return (encoder + context / ratio + rest) / (context + rest)


def predict(config: Mapping[str, Any], context: int, rest: int, ratio: int, layers: int, *, chunk: int = 0) -> float:
    """The share with attention over pairs. config: of the language model. chunk: tokens the encoder reads at once."""
    each, pair, all_layers = _costs(config)

    def cost(tokens: int) -> int:
        return each * tokens + pair * tokens * tokens

    chunk = chunk or context
    whole, left = divmod(context, chunk)
    encoder = layers * (whole * cost(chunk) + cost(left))
    return (encoder + all_layers * cost(count_rows(context, ratio) + rest)) / (all_layers * cost(context + rest))


def count(folder: Path, context: int, rest: int, ratio: int, layers: int, *, chunk: int = 0) -> float:
    """The share as torch counts the operations of both models with eager attention, on no device: nothing is computed.

    folder: of the language model; its config.json is read.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    cut = copy.deepcopy(config)
    cut.num_hidden_layers = layers
    if getattr(cut, "layer_types", None):
        cut.layer_types = cut.layer_types[:layers]
    causal: Any = AutoModelForCausalLM
    base: Any = AutoModel
    with silence(), torch.device("meta"):
        lm = causal.from_config(config, attn_implementation="eager").eval()
        encoder = base.from_config(cut, attn_implementation="eager").eval()
    chunk = chunk or context
    chunks = [min(chunk, context - start) for start in range(0, context, chunk)]
    compressed = sum(_operations(encoder, n) for n in chunks)
    compressed += _operations(lm, count_rows(context, ratio) + rest, logits_to_keep=1)
    return compressed / _operations(lm, context + rest, logits_to_keep=1)


def _operations(model: Any, tokens: int, **more: Any) -> int:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), torch.device("meta"):
        model(
            inputs_embeds=torch.empty(1, tokens, model.config.hidden_size),
            attention_mask=torch.zeros(1, 1, tokens, tokens),  # given whole: none is built from values
            position_ids=torch.arange(tokens)[None],
            use_cache=False,
            **more,
        )
    return int(counter.get_total_flops())


def _costs(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """(operations a token and layer, operations a pair of tokens and layer, layers)."""
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    width = int(config.get("head_dim") or hidden // heads)
    values = int(config.get("num_key_value_heads") or heads)
    each = 2 * (
        2 * hidden * heads * width + 2 * hidden * values * width + 3 * hidden * int(config["intermediate_size"])
    )
    return each, 4 * heads * width, int(config["num_hidden_layers"])
