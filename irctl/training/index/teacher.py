"""The scores that codes are to reproduce: products of queries with the float vectors behind the codes.

The same as a flat search finds. Dimension key: B queries, N documents, U rows asked for, k best, D vector width.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from irctl.index.arrays import normalize_rows
from irctl.index.topk import TopK
from irctl.types import Stream

BLOCK_ROWS = 8192
"""Documents scored at once: 4 MB of scores of 128 queries."""
TAKEN_ROWS = 2048
"""Candidates whose vectors are held at once: 6 MB at 768 dimensions."""
Floats = NDArray[np.float32]


class Teacher:
    """documents: the vectors behind the codes, row by row. is_cosine: compared at length 1."""

    def __init__(self, documents: Stream, *, is_cosine: bool) -> None:
        self._documents, self._is_cosine = documents, is_cosine

    def take(self, rows_U: NDArray[np.int64]) -> Floats:
        """Documents [U, D] as they are compared."""
        return self._compared(self._documents.take(rows_U))

    def scores(self, queries_BD: Tensor, rows_U: Tensor) -> Tensor:
        """Scores [B, U] of these rows."""
        scores_BU = queries_BD.new_empty(len(queries_BD), len(rows_U))
        for block, rows in zip(torch.split(scores_BU, TAKEN_ROWS, 1), torch.split(rows_U, TAKEN_ROWS), strict=True):
            block.copy_(queries_BD @ torch.from_numpy(self.take(rows.cpu().numpy())).to(queries_BD.device).T)
        return scores_BU

    def best(self, queries_BD: Tensor, k: int) -> NDArray[np.int64]:
        """Rows [B, k] of the best documents of each query, k of them or all there are; a block in memory at a time."""
        queries = queries_BD.cpu().numpy()
        best = TopK(len(queries), min(k, self._documents.rows))
        for block in self._documents.blocks(BLOCK_ROWS):
            best.push_block(queries @ self._compared(block.vectors_ND).T, block.start)
        rows_Bk: NDArray[np.int64] = best.result()[1]
        return rows_Bk

    def _compared(self, vectors: Floats) -> Floats:
        return normalize_rows(vectors) if self._is_cosine else vectors
