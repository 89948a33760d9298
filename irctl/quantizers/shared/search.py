"""Searching codes in one total order (score descending, row ascending): by our scores, or by a faiss index.

Dimension key: Q queries, N rows, C code bytes, k results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import faiss
import numpy as np
from numpy.typing import ArrayLike, NDArray

from irctl.index.arrays import as_codes, as_rows, normalize_rows
from irctl.index.scoring import score_rows
from irctl.index.topk import Rows, Scores, TopK
from irctl.quantizers.shared import pq_scan

Codes = NDArray[np.uint8]
Vectors = NDArray[np.float32]
Scorer = Callable[[Codes], Scores]
"""codes [N, C] -> scores [Q, N] of queries that it holds. `quantizer.scorer(queries)` makes one where a search is a
sort of scores; None, or no such method, where faiss searches."""

Finish = Callable[[Scores, NDArray[np.int64]], Scores]

_ROWS = 8192  # rows decoded at once, or searched once more where many tie
_SCORED = 2048  # rows scored at once: as many as `scoring.dot` multiplies
_SPARE = 64  # further results asked of faiss, so that rows tied at rank k can be ordered


def prepare(x_ND: ArrayLike, dim: int, metric: str, what: str = "vectors") -> Vectors:
    """Rows as a quantizer takes them: float32, finite, of width dim; of length 1 where the metric is cosine."""
    rows_ND = as_rows(x_ND, dim, what)
    return normalize_rows(rows_ND) if metric == "cosine" else rows_ND


def search_by_scores(score: Callable[[Any], Scores], rows_N: NDArray[Any], queries: int, k: int) -> tuple[Scores, Rows]:
    """Search by `score(rows) -> [Q, n]`, a block of rows at a time: of codes, or of vectors."""
    best = TopK(queries, min(k, len(rows_N)))
    for start in range(0, len(rows_N), _ROWS):
        best.push_block(score(np.ascontiguousarray(rows_N[start : start + _ROWS])), start)
    return best.result()


def score_pieces(score: Scorer, queries: int) -> Scorer:
    """`score`, a few rows at a time: what it takes in float64 beside its scores does not grow with the block."""

    def pieces(codes_NC: Codes) -> Scores:
        out_QN = np.empty((queries, len(codes_NC)), np.float32)
        for start in range(0, len(codes_NC), _SCORED):
            out_QN[:, start : start + _SCORED] = score(codes_NC[start : start + _SCORED])
        return out_QN

    return pieces


def decoded_scorer(quantizer: Any, queries_QD: ArrayLike) -> Scorer:
    """Similarities of queries and decoded rows: the `scorer` of a quantizer without a faster way.

    Decoding a block once for all queries is three times faster than faiss's scan, which decodes it for each.
    """
    queries_QD = prepare(queries_QD, quantizer.dim, quantizer.metric, "queries")
    metric = "l2" if quantizer.metric == "l2" else "ip"
    return lambda codes_NC: score_rows(queries_QD, quantizer.decode(codes_NC), metric)


def score_decoded(quantizer: Any, queries_QD: ArrayLike, codes_NC: Codes) -> Scores:
    """The `scores` [Q, N] of such a quantizer."""
    return decoded_scorer(quantizer, queries_QD)(codes_NC)


def search_decoded(quantizer: Any, queries_QD: ArrayLike, codes_NC: Codes, k: int) -> tuple[Scores, Rows]:
    """The `search` of such a quantizer."""
    return search_by_scores(decoded_scorer(quantizer, queries_QD), codes_NC, len(np.asarray(queries_QD)), k)


def search_by_faiss(
    index: Any,
    queries_QD: Vectors,
    codes_NC: Codes,
    k: int,
    *,
    negate: bool = False,
    finish: Finish | None = None,
) -> tuple[Scores, Rows]:
    """Search by an empty trained faiss index. negate: its scores are distances.

    finish: from what faiss found for the queries of these numbers to scores, which fall as faiss's do.
    faiss keeps an arbitrary few of the rows that tie at the cut, so more are asked for until the cut is not a tie;
    where that would be many of many rows, a few rows at a time.
    """
    codes_NC = as_codes(codes_NC, index.sa_code_size())
    best = TopK(len(queries_QD), min(k, len(codes_NC)))
    if not best.k or not len(queries_QD):
        return best.result()

    def push(wanted: NDArray[np.int64], codes_nC: Codes, first_row: int) -> NDArray[np.int64]:
        """Push what these rows hold for the wanted queries; returns those whose cut is a tie still, nothing pushed."""
        n, k = len(codes_nC), min(best.k, len(codes_nC))
        asked = min(n, k + _SPARE)
        with _open(index, codes_nC) as find:
            while len(wanted):
                found_qa, rows_qa = find(queries_QD[wanted], asked)
                scores_qa = -found_qa if negate else found_qa
                scores_qa = finish(scores_qa, wanted) if finish else scores_qa
                kth_q = np.partition(scores_qa, asked - k, axis=1)[:, asked - k]
                settled_q = (scores_qa.min(axis=1) < kth_q) | (asked == n)
                best.push(scores_qa[settled_q], rows_qa[settled_q] + first_row, wanted[settled_q])
                wanted, asked = wanted[~settled_q], min(n, asked * 4)
                if asked > _ROWS:
                    break
        return wanted

    tied = push(np.arange(len(queries_QD)), codes_NC, 0)
    if len(tied):
        for start in range(0, len(codes_NC), _ROWS):
            push(tied, codes_NC[start : start + _ROWS], start)
    return best.result()


@contextmanager
def _open(index: Any, codes_NC: Codes) -> Iterator[Callable[[Vectors, int], tuple[Scores, Rows]]]:
    """(queries, a) -> (scores, rows) [Q, a] of these codes, in any order."""
    if isinstance(index, faiss.IndexPQ):
        yield lambda queries_QD, asked: pq_scan.search(index, queries_QD, codes_NC, asked)
        return
    with fill(index, codes_NC):
        yield index.search


@contextmanager
def fill(index: Any, codes_NC: Codes) -> Iterator[None]:
    """An empty trained faiss index holds these codes for a while."""
    index.add_sa_codes(as_codes(codes_NC, index.sa_code_size()))
    try:
        yield
    finally:
        index.reset()
