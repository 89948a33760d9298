"""SAQ's bit plan: which stretches of principal components become segments, and how many bits a dimension each gets.

A segment of b bits over units i..j-1 costs b (j - i) + 1 words of 64 bits (the 1 is its two float32 factors) and
leaves the error V(i, j) / 2^b, V the variance in it. Not 4^-b: the error of an inner product is modelled, not of a
distance.
Dimension key: U units of 64 dimensions, T words of budget.
Source: SAQ, arXiv 2509.12086.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from irctl.errors import ConfigError

UNIT = 64
MOST_BITS = 13
WORTH = 0.99
"""One more segment must lower the error by more than 1 %."""

Segment = tuple[int, int]
"""(dimensions, bits a dimension)"""


def count_words(bits: float, dim: int) -> int:
    """Words of 64 bits a row may take; the 1 leaves room for one segment's factors."""
    return int(bits * dim // UNIT) + 1


def check_room(bits: float, dim: int, *, segmented: bool = True) -> None:
    """ConfigError where not even one segment of 1 bit a dimension fits; the hint is the least that has room."""
    units = -(-dim // UNIT)
    needed = 1 if segmented and units > 1 else units  # words of codes: one unit and an uncoded tail, or all units
    if count_words(bits, dim) > needed:
        return
    # hundredths, rounded up: 1.33 of 48 dimensions would be short of 64 bits again
    least = next(n for n in itertools.count(-(-100 * UNIT * needed // dim)) if count_words(n / 100, dim) > needed)
    hint = f"--set saq.bits={least / 100:g} or more"
    if least > 100 * MOST_BITS:
        hint = f"Use another method: saq needs {-(-UNIT // MOST_BITS)} dimensions or more"
    raise ConfigError(f"saq: {bits:g} bits over {dim} dimensions leave no room for a segment", hint=hint)


def plan(variance_U: NDArray[np.float64], bits: float, dim: int, *, segmented: bool = True) -> list[Segment]:
    """Segments in order, covering all units; only the last may have 0 bits. Raises ConfigError if no segment fits.

    variance_U: variance of each unit of 64 principal components, largest first.
    """
    check_room(bits, dim, segmented=segmented)
    units, words = len(variance_U), count_words(bits, dim)
    most = max(1, units if bits < 2 else units // 2) if segmented else 1
    total_U = np.concatenate([[0.0], np.cumsum(variance_U)])
    best: tuple[float, list[Segment]] | None = None
    # error_UT[j, w]: least error of covering units 0..j-1 with exactly n segments in at most w words
    error_UT = np.full((units + 1, words + 1), np.inf)
    error_UT[0] = 0.0
    came: list[NDArray[np.int64]] = []
    for n in range(1, most + 1):
        error_UT, back_UT = _add_segment(error_UT, total_U, first=n == 1)
        came.append(back_UT)
        error = float(error_UT[units, words])
        if np.isfinite(error) and (best is None or error < best[0] * WORTH):
            best = error, _trace(came, units, words)
    assert best is not None  # check_room refused what has no plan
    return best[1]


def _add_segment(
    before_UT: NDArray[np.float64], total_U: NDArray[np.float64], *, first: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Errors with one segment more, and where each came from: start * 16 + bits."""
    units, words = before_UT.shape[0] - 1, before_UT.shape[1] - 1
    after_UT = np.full_like(before_UT, np.inf)
    back_UT = np.zeros(before_UT.shape, np.int64)
    for j in range(1, units + 1):
        for i in range(0, 1 if first else j):
            variance = total_U[j] - total_U[i]
            for bits in range(0 if j == units and not first else 1, MOST_BITS + 1):
                cost = bits * (j - i) + 1 if bits else 0
                if cost > words:
                    break
                reached = before_UT[i, : words + 1 - cost] + variance / 2**bits
                target = after_UT[j, cost:]
                better = reached < target
                target[better] = reached[better]
                back_UT[j, cost:][better] = i * 16 + bits
    return after_UT, back_UT


def _trace(came: list[NDArray[np.int64]], units: int, words: int) -> list[Segment]:
    segments: list[Segment] = []
    j, w = units, words
    for back_UT in reversed(came):
        i, bits = divmod(int(back_UT[j, w]), 16)
        segments.append(((j - i) * UNIT, bits))
        w -= bits * (j - i) + 1 if bits else 0
        j = i
    return segments[::-1]
