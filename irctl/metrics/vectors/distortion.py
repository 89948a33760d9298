"""What codes lose: error of the decoded vectors, and of the similarities estimated from codes.

Dimension key: N vectors, D dimensions, Q queries.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


def relative_mse(x_ND: NDArray[np.float32], decoded_ND: NDArray[np.float32]) -> float:
    """sum |x - decoded|^2 / sum |x|^2; 0 for all-zero vectors that decode to zero."""
    x, y = x_ND.astype(np.float64), decoded_ND.astype(np.float64)
    total, lost = float((x**2).sum()), float(((x - y) ** 2).sum())
    return lost / total if total else float(lost > 0)


class EstimatorError(NamedTuple):
    """error: mean |estimate - exact|; bias: mean (estimate - exact); both over mean |exact|."""

    error: float
    bias: float


def estimator_error(estimated_QN: NDArray[np.float32], exact_QN: NDArray[np.float32]) -> EstimatorError:
    """How far estimated similarities lie from exact ones. Over means: single similarities may be near 0."""
    exact = exact_QN.astype(np.float64)
    difference = estimated_QN.astype(np.float64) - exact
    scale = float(np.abs(exact).mean()) or 1.0
    return EstimatorError(float(np.abs(difference).mean()) / scale, float(difference.mean()) / scale)
