"""Half precision: what lies beyond its range is kept as its largest number, and that is said.

Dimension key: N rows, D dimensions, C code bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGEST = float(np.finfo(np.float16).max)
LOOKED_AT = 1000
"""Training rows that are looked at for larger values; nothing is learned from them."""


def to_halves(rows_ND: NDArray[np.float32], method: str, warnings: list[str]) -> NDArray[np.float16]:
    """The rows in half precision, little-endian, clamped. A line is added to warnings, once, where that changed any."""
    if np.abs(rows_ND).max(initial=0) > LARGEST:
        _warn_once(method, warnings)
    return np.clip(rows_ND, -LARGEST, LARGEST).astype("<f2")


def clamp_codes(codes_NC: NDArray[np.uint8], at: slice, method: str, warnings: list[str]) -> None:
    """Infinities among the half-precision numbers at these bytes of codes become the largest, in place.

    For encoders that change the rows first: only what is stored tells what did not fit.
    """
    stored_NW = np.ascontiguousarray(codes_NC[:, at]).view("<u2")
    infinite_NW = (stored_NW & 0x7C00) == 0x7C00  # all bits of the exponent
    if infinite_NW.any():
        _warn_once(method, warnings)
        stored_NW[infinite_NW] = (stored_NW[infinite_NW] & 0x8000) | 0x7BFF
        codes_NC[:, at] = stored_NW.view(np.uint8)


def _warn_once(method: str, warnings: list[str]) -> None:
    line = (
        f"{method}: values beyond {LARGEST:.0f} are kept as {LARGEST:.0f}, the largest of half precision; "
        "--method flat --set flat.dtype=float32 keeps them"
    )
    if line not in warnings:
        warnings.append(line)
