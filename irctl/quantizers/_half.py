"""Half precision: what lies beyond its range is kept as its largest number, and that is said.

Dimension key: N rows, D dimensions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGEST = float(np.finfo(np.float16).max)
LOOKED_AT = 1000
"""Training rows that are looked at for larger values; nothing is learned from them."""


def halves(rows_ND: NDArray[np.float32], method: str, warnings: list[str]) -> NDArray[np.float16]:
    """The rows in half precision, little-endian, clamped. A line is added to warnings, once, where that changed any."""
    if np.abs(rows_ND).max(initial=0) > LARGEST:
        line = (
            f"{method}: values beyond {LARGEST:.0f} are kept as {LARGEST:.0f}, the largest of half precision; "
            "--method flat --set flat.dtype=float32 keeps them"
        )
        if line not in warnings:
            warnings.append(line)
    return np.clip(rows_ND, -LARGEST, LARGEST).astype("<f2")
