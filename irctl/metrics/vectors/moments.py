"""Sums over rows from which isotropy is measured: one pass in blocks, float64, D x D memory; two of them merge.

Dimension key: N rows, n rows of a block, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.errors import DataError, counted
from irctl.index.arrays import UNIT

Floats = NDArray[np.float64]

BLOCK = 4096
"""Rows in float64 at once."""
FEWEST = 3
"""Rows below which a covariance, or a mean over pairs, says nothing."""

_EQUAL = 1e-24  # share of the squares below which a scatter is the rounding of float64


@dataclass(frozen=True)
class Moments:
    """Of N rows: their mean, their scatter about it, and the same of their directions x / |x|.

    scatter_DD: sum (x - mean)(x - mean)^T. unit_sum_D, unit_moment_DD: sum u, sum u u^T over directions u; a row of
    zeros has none and adds nothing. norm_sum, norm_squares: sum |x|, sum |x|^2. are_unit: whether all |x| are 1.
    """

    rows: int
    mean_D: Floats
    scatter_DD: Floats
    unit_sum_D: Floats
    unit_moment_DD: Floats
    norm_sum: float
    norm_squares: float
    are_unit: bool

    @property
    def dim(self) -> int:
        return len(self.mean_D)

    @property
    def covariance_DD(self) -> Floats:
        """The scatter over N - 1. DataError for fewer than three rows, or for rows that are all equal."""
        if self.rows < FEWEST:
            raise DataError(f"isotropy: expected at least {FEWEST} rows, found {self.rows}", hint="Measure more rows")
        if not np.trace(self.scatter_DD) > _EQUAL * self.norm_squares:
            raise DataError(f"isotropy: all {self.rows} rows are equal, they have no covariance", hint="Collapsed?")
        covariance_DD: Floats = self.scatter_DD / (self.rows - 1)
        return covariance_DD

    def eigenvalues(self) -> Floats:
        """Variances along the principal directions, largest first [D]; rounding below zero counts as zero.

        All zero where there is nothing to vary: of no row, of one, or of equal ones.
        """
        values_D: Floats = np.linalg.eigvalsh(self.scatter_DD)[::-1] / max(self.rows - 1, 1)
        return np.maximum(values_D, 0.0)

    def merge(self, other: Moments) -> Moments:
        """Of the rows of both; about the common mean, for raw second moments far from the origin have no digits left.

        Source: Chan, Golub and LeVeque 1979, Updating formulae for computing sample variances.
        """
        rows = self.rows + other.rows
        apart_D = other.mean_D - self.mean_D
        between = self.rows * other.rows / rows if rows else 0.0
        return Moments(
            rows,
            self.mean_D + apart_D * (other.rows / rows if rows else 0.0),
            self.scatter_DD + other.scatter_DD + between * np.outer(apart_D, apart_D),
            self.unit_sum_D + other.unit_sum_D,
            self.unit_moment_DD + other.unit_moment_DD,
            self.norm_sum + other.norm_sum,
            self.norm_squares + other.norm_squares,
            self.are_unit and other.are_unit,
        )


def of_rows(x_ND: NDArray[Any]) -> Moments:
    """Of rows that are at hand, any float dtype. DataError for values that are not finite."""
    return of_blocks(x_ND[first : first + BLOCK] for first in range(0, max(len(x_ND), 1), BLOCK))


def of_blocks(blocks: Iterable[NDArray[Any]]) -> Moments:
    """Of all rows of the blocks [n, D], each read once. DataError where there is no block."""
    found: Moments | None = None
    for block_nD in blocks:
        for first in range(0, max(len(block_nD), 1), BLOCK):
            part = _of_block(block_nD[first : first + BLOCK].astype(np.float64))
            found = part if found is None else found.merge(part)
    if found is None:
        raise DataError("isotropy: there are no rows", hint="Measure more rows")
    return found


def directions(x_nD: NDArray[Any]) -> Floats:
    """Rows of length 1 in float64; a row of zeros stays."""
    x_nD = x_nD.astype(np.float64)
    norms_n = np.sqrt(np.einsum("nd,nd->n", x_nD, x_nD))
    unit_nD: Floats = x_nD / np.where(norms_n > 0, norms_n, 1.0)[:, None]
    return unit_nD


def _of_block(x_nD: Floats) -> Moments:
    squares_n = np.einsum("nd,nd->n", x_nD, x_nD)
    if not np.isfinite(squares_n).all():
        raise DataError(
            f"isotropy: values that are not finite in {counted(int((~np.isfinite(squares_n)).sum()), 'row')}"
        )
    n, dim = x_nD.shape
    norms_n, unit_nD = np.sqrt(squares_n), directions(x_nD)
    mean_D = x_nD.mean(axis=0) if n else np.zeros(dim)
    centred_nD = x_nD - mean_D
    return Moments(
        n,
        mean_D,
        centred_nD.T @ centred_nD,
        unit_nD.sum(axis=0),
        unit_nD.T @ unit_nD,
        float(norms_n.sum()),
        float(squares_n.sum()),
        bool((np.abs(norms_n - 1) <= UNIT).all()),
    )
