"""Rows of floats as every part expects them: float32, C-contiguous, the right width, finite.

Dimension key: N rows, D dimensions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from irctl.errors import DataError
from irctl.types import Stream

LONGEST = 9e18  # |a - b|^2 of two such rows is still a float32
UNIT = 1e-3
"""How far from 1 the length of a row may be where all are meant to be of length 1; float16 is 5e-4 off."""
_ROWS = 2048  # rows divided in float64 at once: 16 MB at 1024 dimensions


class NotFinite(DataError):
    """A row holds NaN or infinity. row: its number in the array. what: the array's name or file. said: what is wrong"""

    said = "expected finite numbers, found NaN or infinity"

    def __init__(self, row: int, what: str = "vectors") -> None:
        super().__init__(f"{what}: row {row}: {self.said}")
        self.row = row


class TooLong(NotFinite):
    """A row whose distance to another overflows float32; faiss ends the process over such rows."""

    def __init__(self, row: int, length: float, what: str = "vectors") -> None:
        self.said = f"expected a length of at most {LONGEST:.1e}, found {length:.3g}"
        super().__init__(row, what)


def as_rows(x_ND: ArrayLike, dim: int, what: str = "vectors") -> NDArray[np.float32]:
    """The rows as float32 [N, dim], copied only if need be. Raises DataError for another width, NotFinite for NaN."""
    with np.errstate(over="ignore"):  # an infinity is refused below
        try:
            given_ND = np.asarray(x_ND)
            is_complex = given_ND.dtype.kind == "c"  # numpy would drop a part of it
            rows_ND = np.ascontiguousarray([] if is_complex else given_ND, dtype=np.float32)
        except (TypeError, ValueError):
            raise DataError(
                f"{what}: expected numbers of shape (rows, {dim}), found rows of several lengths, or what is no number"
            ) from None
    if is_complex:
        raise DataError(f"{what}: expected real numbers, found {given_ND.dtype}")
    if rows_ND.ndim != 2 or rows_ND.shape[1] != dim:
        raise DataError(f"{what}: expected shape (rows, {dim}), found {rows_ND.shape}")
    # one pass without a temporary: a NaN, an infinity and too long a row survive into the sum of squares
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.dot(rows_ND.reshape(-1), rows_ND.reshape(-1))
    if not total <= LONGEST**2:  # of a NaN neither
        bad = np.flatnonzero(~np.isfinite(rows_ND).all(axis=1))
        if len(bad):
            raise NotFinite(int(bad[0]), what)
        longest_N = np.sqrt(np.einsum("nd,nd->n", rows_ND, rows_ND, dtype=np.float64))
        if (bad := np.flatnonzero(longest_N > LONGEST)).size:
            raise TooLong(int(bad[0]), float(longest_N[bad[0]]), what)
    return rows_ND


def check_taken(stream: Stream, rows_N: NDArray[np.int64], x_ND: NDArray[np.float32]) -> None:
    """`as_rows` of what was taken from a stream at these rows; the DataError names file and row."""
    try:
        as_rows(x_ND, stream.dim)
    except NotFinite as e:
        row, files = int(rows_N[e.row]), list(getattr(stream, "files", [("vectors", 0)]))
        while len(files) > 1 and row >= files[0][1]:
            row -= files.pop(0)[1]
        raise DataError(f"{files[0][0]}: row {row}: {e.said}", hint="Remove or repair it") from e


def as_codes(codes_NC: ArrayLike, code_size: int) -> NDArray[np.uint8]:
    """Codes as C-contiguous uint8 [N, code_size]. faiss only asserts on a wrong width, so it is checked here."""
    codes = np.asarray(codes_NC)
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != code_size:
        raise DataError(f"codes: expected uint8 (rows, {code_size}), found {codes.dtype} {codes.shape}")
    return np.ascontiguousarray(codes)


def normalize_rows(x_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length 1; zero rows stay zero."""
    out_ND = np.empty(x_ND.shape, np.float32)
    for a in range(0, len(x_ND), _ROWS):
        block_BD = x_ND[a : a + _ROWS]
        norms_B = np.sqrt(np.einsum("nd,nd->n", block_BD, block_BD, dtype=np.float64))
        out_ND[a : a + _ROWS] = block_BD / np.where(norms_B > 0, norms_B, 1.0)[:, None]
    return out_ND
