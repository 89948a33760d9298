"""The state that an encoder gives each token of a text, with the letters it stands for.

What follows pooling (a dense head, a normalisation) is applied to each token as if it were the whole text, so states
and vectors lie in one space. A text longer than the encoder takes is read in windows, its prompt before each.
Dimension key: T tokens of the encoder, D vector width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

from irctl.errors import ConfigError
from irctl.models import arithmetic
from irctl.models.token_batches import move_to_device

if TYPE_CHECKING:
    from irctl.models.encoder import TextEncoder


@dataclass(frozen=True)
class TokenStates:
    """states_TD: of the text's own tokens, none of the prompt or special ones. spans_T2: first letter and end."""

    states_TD: NDArray[np.float32]
    spans_T2: NDArray[np.int64]


def encode_tokens(encoder: TextEncoder, text: str) -> TokenStates:
    """Of a passage. Raises ConfigError for an encoder that has no states of tokens."""
    check(encoder)
    tokenizer: Any = encoder.module.tokenizer
    before, after = _around(tokenizer)
    before = [*before, *tokenizer(encoder.prompt("passage"), add_special_tokens=False)["input_ids"]]
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, spans_T2 = read["input_ids"], np.array(read["offset_mapping"], np.int64).reshape(-1, 2)
    room = encoder.max_len("passage") - len(before) - len(after)
    if room < 1:
        raise ConfigError(f"{encoder.located.name}: its prompt leaves no room for a text")
    windows = [ids[i : i + room] for i in range(0, len(ids), room)]
    at_once = max(encoder.batch_tokens // encoder.max_len("passage"), 1)
    found = [np.zeros((0, encoder.dim), np.float32)]
    for i in range(0, len(windows), at_once):
        own = windows[i : i + at_once]
        states_BTD = _forward(encoder, [[*before, *w, *after] for w in own])
        found += [s_TD[len(before) : len(before) + len(w)] for s_TD, w in zip(states_BTD, own, strict=True)]
    return TokenStates(np.concatenate(found), spans_T2)


def check(encoder: TextEncoder) -> None:
    """ConfigError for an encoder that has no states of tokens, or whose tokens do not say where they stand."""
    module, name = encoder.module, encoder.located.name
    pooled = [m for m in module if isinstance(m, Pooling)]
    width = pooled[0].embedding_dimension if pooled else 0
    if not isinstance(module[0], Transformer) or not pooled or not getattr(module.tokenizer, "is_fast", False):
        raise ConfigError(
            f"{name}: gives no states of tokens", hint="Name a transformer encoder that pools its tokens' states"
        )
    if pooled[0].pooling_output_dimension != width:
        raise ConfigError(f"{name}: its vectors are several poolings side by side, and no token has such a state")


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Special tokens before and after any text."""
    bare, whole = tokenizer("a", add_special_tokens=False)["input_ids"], tokenizer("a")["input_ids"]
    at = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
    return whole[:at], whole[at + len(bare) :]


def _forward(encoder: TextEncoder, ids: list[list[int]]) -> NDArray[np.float32]:
    """States of every token [B, T, D], padding after each text."""
    module: Any = encoder.module
    longest = max(map(len, ids))
    pad = module.tokenizer.pad_token_id or 0
    features = {
        "input_ids": torch.tensor([[*own, *[pad] * (longest - len(own))] for own in ids]),
        "attention_mask": torch.tensor([[1] * len(own) + [0] * (longest - len(own)) for own in ids]),
    }
    parts = list(module)
    after = parts[next(i for i, m in enumerate(parts) if isinstance(m, Pooling)) + 1 :]
    module.eval()
    with torch.inference_mode(), arithmetic.compute_in(encoder.dtype, encoder.device):
        states_BTH = module[0](move_to_device(features, encoder.device))["token_embeddings"]
        made: dict[str, Any] = {"sentence_embedding": states_BTH.reshape(-1, states_BTH.shape[-1])}
        for part in after:
            made = part(made)
        states_ND = made["sentence_embedding"]
        if module.truncate_dim:
            states_ND = states_ND[:, : module.truncate_dim]
    found_BTD: NDArray[np.float32] = states_ND.float().reshape(len(ids), longest, -1).cpu().numpy()
    return found_BTD
