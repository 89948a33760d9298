"""The k best of a long scan in one total order: score descending, then row ascending.

A float top-k alone keeps an arbitrary few of the rows that tie at rank k, so two block sizes would give two rankings.
Here a score and its row become one integer key, and only rows that can still enter the k best are turned into keys.
Dimension key: Q queries, N rows of a block, k results, c candidates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]

EMPTY = np.iinfo(np.int64).min
_MAX_ROW = (1 << 32) - 1


def encode_keys(scores: Scores, rows: Rows) -> NDArray[np.int64]:
    """Keys that sort as (score, then lower row first); score bits above, inverted row below. -0.0 counts as 0.0."""
    bits = (scores.astype(np.float32) + np.float32(0)).view(np.int32)
    ordered = np.where(bits >= 0, bits, bits ^ 0x7FFFFFFF).astype(np.int64)
    return (ordered << 32) | (_MAX_ROW - rows)


def decode_keys(keys: NDArray[np.int64]) -> tuple[Scores, Rows]:
    """(scores, rows) of keys."""
    ordered = (keys >> 32).astype(np.int32)
    bits = np.where(ordered >= 0, ordered, ordered ^ 0x7FFFFFFF).astype(np.int32)
    return bits.view(np.float32), _MAX_ROW - (keys & _MAX_ROW)


class TopK:
    """Running k best rows of each query. Push blocks in any order; the result does not depend on it.

    Candidates wait beside the best until a query has more than k of them, so that the best are chosen again about
    log2(N / k) times in a scan of N rows, and not once a block.
    """

    def __init__(self, queries: int, k: int) -> None:
        self.k = k
        # one more than asked: it tells whether the cut fell between equal scores
        self._best = k + 1
        # the best are the first columns once chosen, in no order but that the first is the least
        self._keys_Qw = np.full((queries, 2 * self._best), EMPTY, np.int64)
        self._used_Q = np.full(queries, self._best)
        self._floor_Q = np.full(queries, -np.inf, np.float32)

    def push_block(self, scores_QN: Scores, first_row: int) -> None:
        """Consecutive rows of all queries, the first being `first_row`."""
        n = scores_QN.shape[1]
        if not n:
            return
        floor_Q = self._floor_Q
        if n > self._best and not np.isfinite(floor_Q).all():  # the first block: find its own floor
            own_Q = np.partition(scores_QN, n - self._best, axis=1)[:, n - self._best]
            floor_Q = np.maximum(floor_Q, own_Q)
        q, column = np.nonzero(scores_QN >= floor_Q[:, None])
        self._add(q, scores_QN[q, column], column + first_row)

    def push(self, scores_qc: Scores, rows_qc: Rows, queries_q: NDArray[np.int64] | None = None) -> None:
        """Candidates with their rows; row -1 is padding. queries_q: of which queries, ascending; default: of all."""
        floor_q = self._floor_Q if queries_q is None else self._floor_Q[queries_q]
        q, column = np.nonzero((rows_qc >= 0) & (scores_qc >= floor_q[:, None]))
        self._add(q if queries_q is None else queries_q[q], scores_qc[q, column], rows_qc[q, column])

    def _add(self, q: NDArray[np.int64], scores: Scores, rows: Rows) -> None:
        """Candidates and their queries, which are sorted."""
        if not len(q):
            return
        counts_Q = np.bincount(q, minlength=len(self._used_Q))
        if (self._used_Q + counts_Q).max() > self._keys_Qw.shape[1]:
            self._choose()
        if (more := int((self._used_Q + counts_Q).max()) - self._keys_Qw.shape[1]) > 0:
            self._keys_Qw = np.pad(self._keys_Qw, ((0, 0), (0, more)), constant_values=EMPTY)
        starts_Q = np.cumsum(counts_Q) - counts_Q
        self._keys_Qw[q, np.arange(len(q)) + (self._used_Q - starts_Q)[q]] = encode_keys(scores, rows)
        self._used_Q += counts_Q
        if self._keys_Qw.shape[1] > 2 * self._best or (self._floor_Q == -np.inf).any():
            self._choose()

    def _choose(self) -> None:
        """Keep the best and forget the others."""
        keys_Qw, best = self._keys_Qw, self._best
        if keys_Qw.shape[1] > best:
            keys_Qw.partition(keys_Qw.shape[1] - best, axis=1)
        if keys_Qw.shape[1] > 2 * best:
            self._keys_Qw = np.empty((len(keys_Qw), 2 * best), np.int64)
        self._keys_Qw[:, :best] = keys_Qw[:, -best:]
        self._keys_Qw[:, best:] = EMPTY
        self._used_Q[:] = best
        last_Q = self._keys_Qw[:, 0]
        self._floor_Q = np.where(last_Q == EMPTY, np.float32(-np.inf), decode_keys(last_Q)[0])

    def _sorted(self) -> NDArray[np.int64]:
        """The best keys [Q, k + 1], descending."""
        if (self._used_Q > self._best).any():
            self._choose()
        return np.sort(self._keys_Qw[:, : self._best], axis=1)[:, ::-1]

    def result(self) -> tuple[Scores, Rows]:
        """(scores [Q, k'], rows [Q, k']), k' = min(k, rows pushed). A query with fewer ends in -inf and row -1."""
        keys_Qk = self._sorted()[:, : self.k]
        found_Qk = keys_Qk != EMPTY
        width = int(found_Qk.sum(axis=1).max(initial=0))
        scores_Qk, rows_Qk = decode_keys(keys_Qk[:, :width])
        found_Qk = found_Qk[:, :width]
        return np.where(found_Qk, scores_Qk, np.float32(-np.inf)), np.where(found_Qk, rows_Qk, -1)

    def count_boundary_ties(self) -> int:
        """Queries whose rank k + 1 has the score of rank k: there the row number decided."""
        if self.k < 1:
            return 0
        inside_Q, next_Q = self._sorted()[:, self.k - 1 :].T
        return int(((next_Q != EMPTY) & (inside_Q >> 32 == next_Q >> 32)).sum())


def top_k(scores_QN: Scores, k: int) -> tuple[Scores, Rows]:
    """(scores, rows) of the min(k, N) best columns of each row of scores."""
    best = TopK(len(scores_QN), min(k, scores_QN.shape[1]))
    best.push_block(scores_QN, 0)
    return best.result()


def merge(parts: list[tuple[Scores, Rows]], k: int) -> tuple[Scores, Rows]:
    """One result from several over disjoint rows: what joins shards and ranks."""
    best = TopK(len(parts[0][0]), k)
    for scores_Qc, rows_Qc in parts:
        best.push(scores_Qc, rows_Qc)
    return best.result()
