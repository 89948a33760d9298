"""R@k of an approximate search: the share of the exact k nearest rows that it returns among its k.

Dimension key: Q queries, k results.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shares(found_Qk: NDArray[np.int64], exact_Qk: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Each query's share, [Q]. Row -1 is padding; a query with fewer than k exact rows counts what it has."""
    shares_Q = np.ones(len(exact_Qk))
    for q, (found, exact) in enumerate(zip(found_Qk[:, :k], exact_Qk[:, :k], strict=True)):
        wanted = set(exact[exact >= 0].tolist())
        if wanted:
            shares_Q[q] = len(wanted & set(found.tolist())) / len(wanted)
    return shares_Q


def recall_at(found_Qk: NDArray[np.int64], exact_Qk: NDArray[np.int64], k: int) -> float:
    """Mean share over queries; 0 where there is none."""
    return float(shares(found_Qk, exact_Qk, k).mean()) if len(exact_Qk) else 0.0
