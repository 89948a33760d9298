"""The language model's input with a compressed context in it: `head | rows | tail [| answer]`, laid out in batches.

The places of rows are marked by a mask of their own, not by a token, so that no token of a text is taken for one.
Positions count 0, 1, ... over the compressed sequence; padding is masked and its positions are 0.

Dimension key: B sequences, T tokens of the longest, R rows of all of them, H hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IGNORED = -100
"""The label of a token that is not scored."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """One sequence: token ids before and after the context, those that are scored, and how many rows lie between."""

    head: Sequence[int] = ()
    rows: int = 0
    tail: Sequence[int] = ()
    answer: Sequence[int] = ()

    @property
    def length(self) -> int:
        return len(self.head) + self.rows + len(self.tail) + len(self.answer)


@dataclass(frozen=True)
class LmInput:
    """A batch of sequences. labels_BT: the answers' ids where they stand, else IGNORED (not shifted)."""

    input_ids_BT: Tensor
    is_slot_BT: Tensor
    mask_BT: Tensor
    position_ids_BT: Tensor
    labels_BT: Tensor

    def to(self, device: torch.device) -> LmInput:
        return LmInput(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def lay_out(parts: Sequence[Parts], *, pads: str = "after", pad_id: int = 0) -> LmInput:
    """The sequences of a batch, padded to the longest. pads: after the sequence, or before it where tokens are to
    follow (generation). pad_id: any token; it is masked.
    """
    assert pads in ("after", "before")
    longest = max(p.length for p in parts)
    input_ids_BT = torch.full((len(parts), longest), pad_id)
    is_slot_BT = torch.zeros(len(parts), longest, dtype=torch.bool)
    mask_BT, position_ids_BT = torch.zeros_like(input_ids_BT), torch.zeros_like(input_ids_BT)
    labels_BT = torch.full_like(input_ids_BT, IGNORED)
    for b, part in enumerate(parts):
        start = longest - part.length if pads == "before" else 0
        whole = slice(start, start + part.length)
        first_row = start + len(part.head)
        ids = [*part.head, *[pad_id] * part.rows, *part.tail, *part.answer]
        input_ids_BT[b, whole] = torch.tensor(ids)
        is_slot_BT[b, first_row : first_row + part.rows] = True
        mask_BT[b, whole] = 1
        position_ids_BT[b, whole] = torch.arange(part.length)
        if part.answer:
            labels_BT[b, whole.stop - len(part.answer) : whole.stop] = torch.tensor(list(part.answer))
    return LmInput(input_ids_BT, is_slot_BT, mask_BT, position_ids_BT, labels_BT)


def fill(embeddings_BTH: Tensor, is_slot_BT: Tensor, rows_RH: Tensor) -> Tensor:
    """The embeddings with rows in the slots, in order of sequences and places [B, T, H]; gradient flows to the rows.

    rows_RH: as many as there are slots; cast to the embeddings' type, since an encoder in full precision gives rows in
    it to a language model that has not.
    """
    slots = int(is_slot_BT.sum())
    assert slots == len(rows_RH), f"{len(rows_RH)} rows for {slots} slots"
    return embeddings_BTH.masked_scatter(is_slot_BT[:, :, None], rows_RH.to(embeddings_BTH.dtype))
