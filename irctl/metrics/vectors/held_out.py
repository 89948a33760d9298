"""Isotropy is measured on rows that nothing was fitted on: a whitening makes its own rows isotropic, whatever they are.

On half of a collection a fitted whitening has debiased IsoScore above 1 there, and far below on the other half.
Dimension key: N rows, n rows of a half, D dimensions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from irctl.errors import DataError
from irctl.metrics.vectors import isotropy
from irctl.metrics.vectors.moments import FEWEST

LEAST = 100
"""Rows that must be left where those that something was fitted on are left out."""
T = TypeVar("T")


@dataclass(frozen=True)
class TwoFold:
    """values: means over the halves of measures of rows that nothing was fitted on. rows: of the two halves."""

    values: dict[str, float]
    rows: tuple[int, int]


def two_fold(
    x_ND: NDArray[Any],
    fit: Callable[[NDArray[Any]], T],
    apply: Callable[[T, NDArray[Any]], NDArray[Any]],
    measure: Callable[[NDArray[Any]], dict[str, float]] = isotropy.measure,
    *,
    is_second_N: NDArray[np.bool_] | None = None,
) -> TwoFold:
    """Fit on one half of the rows, measure what that makes of the other, both ways; the mean.

    is_second_N: which rows the second half is; default: a hash of each row's content says it, so that a copy of a row
    under another id lies in the same half. Measures that depend on N are of half the rows. Raises DataError where a
    half has fewer than three.
    """
    is_second_N = halves(x_ND) if is_second_N is None else is_second_N
    rows = int((~is_second_N).sum()), int(is_second_N.sum())
    if min(rows) < FEWEST:
        raise DataError(f"isotropy: halves of {rows[0]} and {rows[1]} rows are too few", hint="Measure more rows")
    both = [measure(apply(fit(x_ND[~measured_N]), x_ND[measured_N])) for measured_N in (~is_second_N, is_second_N)]
    return TwoFold({name: (both[0][name] + both[1][name]) / 2 for name in both[0] if name in both[1]}, rows)


def halves(x_ND: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows are in the second half [N]: a bit of a hash of each row's bytes."""
    rows = np.ascontiguousarray(x_ND)
    return np.array([hashlib.blake2b(row.tobytes(), digest_size=1).digest()[0] & 1 for row in rows], bool)


def left(hashes_N: NDArray[np.uint64], fitted: NDArray[np.uint64], what: str, least: int = LEAST) -> NDArray[np.bool_]:
    """Which rows were not fitted on [N], by the hashes of their texts. what: of what, for the error.

    DataError where some are not left, and fewer than `least` are.
    """
    left_N: NDArray[np.bool_] = ~np.isin(hashes_N, fitted)
    if not left_N.all() and (count := int(left_N.sum())) < least:
        raise DataError(
            f"isotropy: {what} was fitted on all but {count} of {len(hashes_N)} rows, expected at least {least} others",
            hint="Measure another collection or split: --data, --split",
        )
    return left_N
