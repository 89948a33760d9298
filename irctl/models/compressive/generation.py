"""Greedy answers of a language model to prompts whose context is tokens, rows of a compressive encoder, or nothing.

Prompts of a batch are padded on the left, so that what is generated follows each of them; mask and positions go with
every step. Only new tokens are returned.
Dimension key: B prompts, T tokens of the longest, R rows of all of them, H hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from irctl.models.compressive.soft_context import Parts, fill, lay_out


@dataclass(frozen=True)
class Prompt:
    """parts: token ids around the rows, no answer. rows_RH: as many as parts says; None for none."""

    parts: Parts
    rows_RH: Tensor | None = None


def generate(lm: Any, prompts: Sequence[Prompt], *, most: int, end: int | None) -> list[list[int]]:
    """New token ids of each prompt, at most `most`, without the token `end` that stopped it.

    Raises no error for prompts longer than the model's positions: whoever builds them sees to that.
    """
    with torch.inference_mode():
        read = lay_out([p.parts for p in prompts], pads="before").to(lm.device)
        embeddings_BTH = lm.get_input_embeddings()(read.input_ids_BT)
        rows = [p.rows_RH.to(lm.device) for p in prompts if p.rows_RH is not None]
        if rows:
            embeddings_BTH = fill(embeddings_BTH, read.is_slot_BT, torch.cat(rows))
        step: dict[str, Any] = {"inputs_embeds": embeddings_BTH}
        mask_BT, places_BT = read.mask_BT, read.position_ids_BT
        takes = signature(type(lm).forward).parameters
        name = "cache" if "cache" in takes else "past_key_values"  # its name in transformers before 5.24
        cache, is_done_B = None, torch.zeros(len(prompts), dtype=torch.bool, device=lm.device)
        found: list[Tensor] = []
        while len(found) < most and not bool(is_done_B.all()):
            output = lm(
                **step,
                attention_mask=mask_BT,
                position_ids=places_BT,
                use_cache=True,
                logits_to_keep=1,
                **{name: cache},
            )
            cache = getattr(output, name)
            next_B = output.logits[:, -1].argmax(-1)
            found.append(next_B)
            if end is not None:
                is_done_B = is_done_B | (next_B == end)
            step = {"input_ids": next_B[:, None]}
            mask_BT = torch.cat([mask_BT, torch.ones_like(mask_BT[:, :1])], dim=1)
            places_BT = places_BT[:, -1:] + 1
    lists: list[list[int]] = torch.stack(found, dim=1).tolist() if found else [[] for _ in prompts]
    return [ids[: ids.index(end)] if end in ids else ids for ids in lists]
