"""Similarities of float queries and float rows, the same for every block size, position and number of threads.

A float32 product's last bits depend on where a row stands in the block, so equal rows would not tie and block sizes
would change rankings. Products are therefore summed in float64 and rounded once; that costs twice the arithmetic.
Dimension key: Q queries, N rows, D dimensions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from irctl.errors import ConfigError
from irctl.index.arrays import normalize_rows

METRICS = ("ip", "l2", "cosine")
METRIC = {"dot": "ip", "cosine": "cosine", "euclid": "l2"}
SIMILARITY = {metric: similarity for similarity, metric in METRIC.items()}
"""What settings and tables call a metric."""
_ROWS = 2048  # rows converted to float64 at once: 16 MB at 1024 dimensions


def check_metric(metric: str) -> str:
    """The metric itself, or ConfigError."""
    if metric not in METRICS:
        raise ConfigError(f"metric: expected one of {', '.join(METRICS)}, found {metric!r}")
    return metric


def dot(queries_QD: NDArray[np.float32], x_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inner products [Q, N]."""
    q = queries_QD.astype(np.float64)
    out_QN = np.empty((len(q), len(x_ND)), np.float32)
    for a in range(0, len(x_ND), _ROWS):
        out_QN[:, a : a + _ROWS] = q @ x_ND[a : a + _ROWS].astype(np.float64).T
    return out_QN


def score_rows(queries_QD: NDArray[np.float32], x_ND: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Scores [Q, N], higher is better: inner product, cosine, or minus the squared Euclidean distance."""
    if metric == "cosine":
        return dot(normalize_rows(queries_QD), normalize_rows(x_ND))
    if metric == "ip":
        return dot(queries_QD, x_ND)
    q = queries_QD.astype(np.float64)
    q_Q = np.einsum("qd,qd->q", q, q)
    out_QN = np.empty((len(q), len(x_ND)), np.float32)
    for a in range(0, len(x_ND), _ROWS):
        x = x_ND[a : a + _ROWS].astype(np.float64)
        out_QN[:, a : a + _ROWS] = 2 * (q @ x.T) - np.einsum("nd,nd->n", x, x)[None] - q_Q[:, None]
    return out_QN
