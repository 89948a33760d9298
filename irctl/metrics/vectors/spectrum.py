"""How variance spreads over directions: eigenvalues of the covariance of vectors.

Dimension key: N vectors, D dimensions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK = 4096


def eigenvalues(x_ND: NDArray[np.float32]) -> NDArray[np.float64]:
    """Variances along the principal directions, largest first, [D]; rounding below zero counts as zero.

    The covariance is summed in float64 over blocks: float32 loses the small eigenvalues to rounding.
    """
    n, dim = x_ND.shape
    if not n:
        return np.zeros(dim)
    mean_D = x_ND.mean(axis=0, dtype=np.float64)
    covariance_DD = np.zeros((dim, dim))
    for start in range(0, n, _BLOCK):
        centred_ND = x_ND[start : start + _BLOCK].astype(np.float64) - mean_D
        covariance_DD += centred_ND.T @ centred_ND
    values_D: NDArray[np.float64] = np.linalg.eigvalsh(covariance_DD / n)[::-1]
    return np.maximum(values_D, 0.0)
