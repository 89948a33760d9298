"""R@k of an approximate search: the share of the exact k nearest rows that it returns among its k.

Dimension key: Q queries, k results.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def recall_at(found_Qk: NDArray[np.int64], exact_Qk: NDArray[np.int64], k: int) -> float:
    """Mean over queries. Row -1 is padding; a query with fewer than k exact rows counts what it has."""
    if not len(exact_Qk):
        return 0.0
    shares = []
    for found, exact in zip(found_Qk[:, :k], exact_Qk[:, :k], strict=True):
        wanted = set(exact[exact >= 0].tolist())
        shares.append(len(wanted & set(found.tolist())) / len(wanted) if wanted else 1.0)
    return float(np.mean(shares))
