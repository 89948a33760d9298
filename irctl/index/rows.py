"""Rows of floats as every part expects them: float32, C-contiguous, the right width, finite.

Dimension key: N rows, D dimensions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from irctl.errors import DataError

_ROWS = 2048  # rows divided in float64 at once: 16 MB at 1024 dimensions


class NotFinite(DataError):
    """A row holds NaN or infinity. row: its number in the array that was given. what: the array's name or file."""

    def __init__(self, row: int, what: str = "vectors") -> None:
        super().__init__(f"{what}: row {row}: expected finite numbers, found NaN or infinity")
        self.row = row


def as_rows(x_ND: ArrayLike, dim: int, what: str = "vectors") -> NDArray[np.float32]:
    """The rows as float32 [N, dim], copied only if need be. Raises DataError for another width, NotFinite for NaN."""
    rows_ND = np.ascontiguousarray(x_ND, dtype=np.float32)
    if rows_ND.ndim != 2 or rows_ND.shape[1] != dim:
        raise DataError(f"{what}: expected shape (rows, {dim}), found {rows_ND.shape}")
    # one pass without a temporary: a NaN or infinity survives into the sum, a false alarm by overflow is looked at
    with np.errstate(over="ignore", invalid="ignore"):
        total = rows_ND.sum()
    if not np.isfinite(total):
        bad = np.flatnonzero(~np.isfinite(rows_ND).all(axis=1))
        if len(bad):
            raise NotFinite(int(bad[0]), what)
    return rows_ND


def as_codes(codes_NC: ArrayLike, code_size: int) -> NDArray[np.uint8]:
    """Codes as C-contiguous uint8 [N, code_size]. faiss only asserts on a wrong width, so it is checked here."""
    codes = np.asarray(codes_NC)
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != code_size:
        raise DataError(f"codes: expected uint8 (rows, {code_size}), found {codes.dtype} {codes.shape}")
    return np.ascontiguousarray(codes)


def unit(x_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length 1; zero rows stay zero."""
    out_ND = np.empty(x_ND.shape, np.float32)
    for a in range(0, len(x_ND), _ROWS):
        block_BD = x_ND[a : a + _ROWS]
        norms_B = np.sqrt(np.einsum("nd,nd->n", block_BD, block_BD, dtype=np.float64))
        out_ND[a : a + _ROWS] = block_BD / np.where(norms_B > 0, norms_B, 1.0)[:, None]
    return out_ND
