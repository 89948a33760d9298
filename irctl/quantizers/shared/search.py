"""Searching codes in one total order (score descending, row ascending): by our scores, or by a faiss index.

Dimension key: Q queries, N rows, C code bytes, k results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from irctl.index.arrays import as_codes, as_rows, normalize_rows
from irctl.index.scoring import score_rows
from irctl.index.topk import Rows, Scores, TopK

Codes = NDArray[np.uint8]
Vectors = NDArray[np.float32]

_ROWS = 8192  # rows decoded at once
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


def score_decoded(quantizer: Any, queries_QD: ArrayLike, codes_NC: Codes) -> Scores:
    """Similarities [Q, N] of queries and decoded rows: the `scores` of a quantizer without a faster way."""
    queries_QD = prepare(queries_QD, quantizer.dim, quantizer.metric, "queries")
    return score_rows(queries_QD, quantizer.decode(codes_NC), "l2" if quantizer.metric == "l2" else "ip")


def search_decoded(quantizer: Any, queries_QD: ArrayLike, codes_NC: Codes, k: int) -> tuple[Scores, Rows]:
    """The `search` of such a quantizer; decoding a block once for all queries is three times faster than faiss's scan,
    which decodes it for each.
    """
    queries_QD = prepare(queries_QD, quantizer.dim, quantizer.metric, "queries")
    return search_by_scores(lambda codes: quantizer.scores(queries_QD, codes), codes_NC, len(queries_QD), k)


def search_by_faiss(
    index: Any,
    queries_QD: Vectors,
    codes_NC: Codes,
    k: int,
    *,
    negate: bool = False,
    finish: Callable[[Scores, NDArray[np.int64]], Scores] | None = None,
) -> tuple[Scores, Rows]:
    """Search by an empty trained faiss index. negate: its scores are distances.

    finish: from what faiss found for the queries of these numbers to scores, which fall as faiss's do.
    faiss keeps an arbitrary few of the rows that tie at the cut, so more are asked for until the cut is not a tie.
    """
    n, k = len(codes_NC), min(k, len(codes_NC))
    best = TopK(len(queries_QD), k)
    if not k or not len(queries_QD):
        return best.result()
    with fill(index, codes_NC):
        wanted, asked = np.arange(len(queries_QD)), min(n, k + _SPARE)
        while len(wanted):
            found_Qa, rows_Qa = index.search(queries_QD[wanted], asked)
            scores_Qa = -found_Qa if negate else found_Qa
            scores_Qa = finish(scores_Qa, wanted) if finish else scores_Qa
            settled_Q = (scores_Qa[:, -1] < scores_Qa[:, k - 1]) | (asked == n)
            padded_Qa = np.full((len(queries_QD), asked), -1, np.int64)
            padded_Qa[wanted[settled_Q]] = rows_Qa[settled_Q]
            filled_Qa = np.zeros((len(queries_QD), asked), np.float32)
            filled_Qa[wanted] = scores_Qa
            best.push(filled_Qa, padded_Qa)
            wanted, asked = wanted[~settled_Q], min(n, asked * 4)
    return best.result()


@contextmanager
def fill(index: Any, codes_NC: Codes) -> Iterator[None]:
    """An empty trained faiss index holds these codes for a while."""
    index.add_sa_codes(as_codes(codes_NC, index.sa_code_size()))
    try:
        yield
    finally:
        index.reset()
