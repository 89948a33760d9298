"""What a training retrieves from: rows that stay, float vectors or codes scored by the centroids as they are now.

Searches are without gradient; the scores of rows that were chosen have one, to the queries and to the centroids.

Dimension key: L queries of this process, N rows of the index, D vector width, E rotated width, M slices, K candidates
of a query, n rows of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from irctl.training.similarities import similarities

if TYPE_CHECKING:
    from irctl.training.index.trained_codes import TrainedCodes
    from irctl.types import Stream

BLOCK_BYTES = 128 << 20
"""Of decoded rows and their scores in one go of a scan."""


class FixedIndex(Protocol):
    """Rows by number, 0 to rows - 1."""

    rows: int

    def search(self, queries_LD: Tensor, k: int) -> Tensor:
        """Numbers [L, min(k, rows)] int64 of the best rows, best first. No row is -1."""
        ...

    def scores(self, queries_LD: Tensor, rows_LK: Tensor) -> Tensor:
        """Scores [L, K] of each query's own rows, float32, with gradient."""
        ...


class VectorIndex:
    """Float vectors on the device of the queries. similarity: dot, cosine or euclid. Memory: 4 N D bytes."""

    def __init__(self, vectors_ND: Tensor, similarity: str) -> None:
        self.rows, self.similarity = len(vectors_ND), similarity
        self._vectors_ND = vectors_ND

    @classmethod
    def of_stream(cls, stream: Stream, similarity: str, device: torch.device) -> VectorIndex:
        """Every row of a stream, read once."""
        vectors_ND = torch.empty(stream.rows, stream.dim, device=device)
        for block in stream.blocks(max(1, BLOCK_BYTES // (4 * stream.dim))):
            stop = block.start + len(block.vectors_ND)
            vectors_ND[block.start : stop] = torch.from_numpy(np.array(block.vectors_ND))
        return cls(vectors_ND, similarity)

    @torch.no_grad()
    def search(self, queries_LD: Tensor, k: int) -> Tensor:
        queries_LD = queries_LD.float()
        size = max(1, BLOCK_BYTES // (4 * (len(queries_LD) + self._vectors_ND.shape[1])))

        def score(start: int) -> Tensor:
            return similarities(queries_LD, self._vectors_ND[start : start + size], self.similarity, by_products=True)

        return best_rows(score, range(0, self.rows, size), k)

    def scores(self, queries_LD: Tensor, rows_LK: Tensor) -> Tensor:
        with torch.autocast(queries_LD.device.type, enabled=False):
            queries_L1D, chosen_LKD = queries_LD.float()[:, None], self._vectors_ND[rows_LK]
            if self.similarity == "cosine":
                return nn.functional.cosine_similarity(queries_L1D, chosen_LKD, dim=2)
            if self.similarity == "euclid":
                return -torch.cdist(queries_L1D, chosen_LKD).squeeze(1)
            return torch.einsum("ld,lkd->lk", queries_LD.float(), chosen_LKD)


class CodeIndex:
    """Product codes under a rotation and centroids that may be trained meanwhile.

    On a CPU by faiss's tables, the codes read where they lie, the centroids written over in place; on a GPU by decoding
    blocks. metric: ip or cosine (queries at length 1), as the bundle has it.
    """

    def __init__(self, codes: TrainedCodes, metric: str) -> None:
        assert metric in ("ip", "cosine"), metric
        self.metric, self.rows = metric, len(codes)
        self._codes = codes
        self._faiss: Any = None

    @torch.no_grad()
    def search(self, queries_LD: Tensor, k: int) -> Tensor:
        rotated_LE = self._codes.layer.rotate(self._compared(queries_LD))
        if rotated_LE.device.type == "cpu":
            return self._search_by_faiss(rotated_LE, k)
        return self._search_by_blocks(rotated_LE, k)

    def _search_by_blocks(self, rotated_LE: Tensor, k: int) -> Tensor:
        size = max(1, BLOCK_BYTES // (4 * (len(rotated_LE) + rotated_LE.shape[1])))

        def score(start: int) -> Tensor:
            rows_n = torch.arange(start, min(start + size, self.rows), device=rotated_LE.device)
            return self._codes.layer.lut_scores(rotated_LE, self._codes.unpack(rows_n))

        return best_rows(score, range(0, self.rows, size), k)

    def scores(self, queries_LD: Tensor, rows_LK: Tensor) -> Tensor:
        return self._codes.scores(self._compared(queries_LD), self._codes.unpack(rows_LK))

    def _compared(self, queries_LD: Tensor) -> Tensor:
        with torch.autocast(queries_LD.device.type, enabled=False):
            queries_LD = queries_LD.float()
            return nn.functional.normalize(queries_LD, dim=1) if self.metric == "cosine" else queries_LD

    def _search_by_faiss(self, rotated_LE: Tensor, k: int) -> Tensor:
        import faiss

        from irctl.quantizers.shared import faiss_tools
        from irctl.quantizers.shared.search import search_by_faiss

        centroids_MKd = self._codes.layer.centroids.detach().float().contiguous().numpy()
        if self._faiss is None:
            self._faiss = faiss_tools.pq_index(centroids_MKd, self._codes.start.config.bits, "ip")
        faiss.copy_array_to_vector(centroids_MKd.ravel(), self._faiss.pq.centroids)
        rotated = rotated_LE.float().contiguous().numpy()
        return torch.from_numpy(search_by_faiss(self._faiss, rotated, self._codes.codes_NC.numpy(), k)[1])


def best_rows(score: Callable[[int], Tensor], starts: Iterator[int] | range, k: int) -> Tensor:
    """Numbers [L, min(k, rows)] of the best rows, best first. score(start): scores [L, n] of the block from there."""
    best_Lk: Tensor | None = None
    rows_Lk: Tensor | None = None
    for start in starts:
        scores_Ln = score(start)
        rows_Ln = torch.arange(start, start + scores_Ln.shape[1], device=scores_Ln.device).expand_as(scores_Ln)
        if best_Lk is not None and rows_Lk is not None:
            scores_Ln, rows_Ln = torch.cat([best_Lk, scores_Ln], 1), torch.cat([rows_Lk, rows_Ln], 1)
        best_Lk, places_Lk = scores_Ln.topk(min(k, scores_Ln.shape[1]), dim=1)
        rows_Lk = rows_Ln.gather(1, places_Lk)
    assert rows_Lk is not None, "an index has rows"
    return rows_Lk
