"""Scoring the best of a search again by exact vectors, fetched by row number.

Dimension key: Q queries, D dimensions, K candidates a query, k results.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from irctl import stopping
from irctl.errors import ConfigError
from irctl.index.scoring import score_rows
from irctl.index.topk import Rows, Scores, TopK

_FETCH = 32  # queries whose candidates are fetched together: neighbours share rows


def rerank(
    queries_QD: NDArray[np.float32],
    rows_QK: Rows,
    take: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    k: int,
    metric: str,
) -> tuple[Scores, Rows, int]:
    """(scores [Q, k'], rows [Q, k'], boundary ties) of the candidates by exact similarity; row -1 is no candidate.

    take: rows [n], sorted and without repeats -> vectors [n, D].
    """
    best = TopK(len(rows_QK), min(k, rows_QK.shape[1]))
    scores_QK = np.full(rows_QK.shape, -np.inf, np.float32)
    for start in range(0, len(rows_QK), _FETCH):
        stopping.check("nothing of a search is kept")
        some_qK = rows_QK[start : start + _FETCH]
        rows_n = np.unique(some_qK[some_qK >= 0])
        vectors_nD = take(rows_n)
        for q, candidates_K in enumerate(some_qK):
            real_K = candidates_K >= 0
            mine_KD = vectors_nD[np.searchsorted(rows_n, candidates_K[real_K])]
            exact_K = score_rows(queries_QD[start + q : start + q + 1], mine_KD, metric)[0]
            scores_QK[start + q, real_K] = exact_K
    best.push(scores_QK, rows_QK)
    scores_Qk, kept_Qk = best.result()
    return scores_Qk, kept_Qk, best.count_boundary_ties()


def check_depth(depth: int, k: int) -> None:
    """ConfigError when fewer rows would be re-scored than are asked for."""
    if depth and depth < k:
        raise ConfigError(
            f"search.rerank: {depth} rows re-scored cannot give {k} results",
            hint=f"Use -k {depth}, or --rerank {5 * k} (5 to 20 times k)",
        )
