"""Queries as vectors that are kept: those of texts, and pseudo-queries made of documents; by training item.

An epoch is a whole number of loss batches. Where there are both kinds, items alternate: even ones are texts, odd ones
pseudo-queries. Texts are taken one after the other in a random order, which goes on from epoch to epoch; a new order is
drawn when all were seen.

Dimension key: T query texts, N documents, B queries of a batch, D vector width.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from irctl.data import draws
from irctl.training.index.pseudo_queries import PseudoQueries
from irctl.training.method import Item

MOST_PSEUDO = 65_536
"""Pseudo-queries of an epoch, at the most, where there are no texts."""
NO_DOCUMENT = -1
Floats = NDArray[np.float32]


class QueryBatch(NamedTuple):
    """own_B: the document that a pseudo-query was made of, which is no candidate of it; -1 for a text."""

    queries_BD: Tensor
    own_B: Tensor


def count_items(kind: str, texts: int, documents: int, loss_batch: int) -> int:
    """Items of an epoch: each text once or little more, as many pseudo-queries; of pseudo-queries alone, as documents.

    kind: texts, pseudo or mixed.
    """
    wanted = {"texts": texts, "pseudo": min(documents, MOST_PSEUDO), "mixed": 2 * texts}[kind]
    return -(-wanted // loss_batch) * loss_batch


class KeptQueries:
    """Collates items into vectors. Holds arrays and a stream alone, so that data loader workers can have it."""

    def __init__(self, kind: str, items: int, texts_TD: Floats | None, pseudo: PseudoQueries, seed: int) -> None:
        self.kind, self._items, self._texts_TD, self._pseudo, self._seed = kind, items, texts_TD, pseudo, seed

    def __len__(self) -> int:
        return self._items

    def __call__(self, items: Sequence[Item]) -> dict[str, Any]:
        """The vectors of a loss batch, the same on every process: texts first, then pseudo-queries."""
        texts = [item for item in items if self._is_text(item[0])]
        pseudo = [item for item in items if not self._is_text(item[0])]
        queries, own = [], [np.full(len(texts), NO_DOCUMENT)]
        if texts:
            assert self._texts_TD is not None, "the launcher found some"
            queries.append(self._texts_TD[self.text_numbers(items)])
        if pseudo:
            made_PD, rows_P = self._pseudo(pseudo)
            queries.append(made_PD)
            own.append(rows_P)
        return {"queries": torch.from_numpy(np.concatenate(queries)), "own": torch.from_numpy(np.concatenate(own))}

    def _is_text(self, index: int) -> bool:
        return self.kind == "texts" or (self.kind == "mixed" and index % 2 == 0)

    def text_numbers(self, items: Sequence[Item]) -> list[int]:
        """The numbers of the texts among these items, in their order."""
        texts, every = 0 if self._texts_TD is None else len(self._texts_TD), 2 if self.kind == "mixed" else 1
        visits = [epoch * (self._items // every) + index // every for index, epoch in items if self._is_text(index)]
        return [int(_order(texts, self._seed, v // texts)[v % texts]) for v in visits]


@lru_cache(maxsize=2)  # a batch may reach from one order into the next
def _order(texts: int, seed: int, turn: int) -> NDArray[np.int64]:
    """The places of the texts in the order of their turn."""
    return draws.generator("query texts", seed, turn).permutation(texts)
