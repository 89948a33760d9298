"""Groups of one positive with fewer negatives than places: refused before training, or filled with random passages.

Dimension key: K passages of a group.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from irctl.data import draws
from irctl.errors import DataError

DRAWN_AT_ONCE = 4
"""Rows drawn for each place: of a corpus hardly one is judged or drawn twice."""
SMALL = 4096
"""Passages that are shuffled whole: among so few, most may be judged."""

MOST_TURNS = 64
"""A corpus of hardly any different texts must not be drawn from for ever."""


def too_few(queries: int, total: int, size: int) -> DataError:
    """The error of data.short=error."""
    return DataError(
        f"{queries} of {total} training queries have fewer than {size - 1} negatives, and data.short=error",
        hint="Mine more (irctl hardneg --num), lower data.group_size, or set data.short to fill, pad or cycle",
    )


def fill(
    rows_K: NDArray[np.int64],
    labels_K: NDArray[np.float32],
    size: int,
    unfit: tuple[int, frozenset[int]],
    same: Callable[[NDArray[np.int64]], NDArray[np.int64]],
    key: tuple[object, ...],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(rows, labels) of a group with random passages of label 0 up to `size`, or as many as there are.

    unfit: how many passages there are, and those that must not be drawn, by text. same: rows by which passages of one
    text are one; a text is drawn once. key: of the draws.
    """
    n, taken = unfit[0], set(unfit[1])
    found: list[int] = []
    need = size - len(rows_K)
    turn = 0
    while len(found) < need and turn < (1 if n <= SMALL else MOST_TURNS):
        if n <= SMALL:
            drawn = draws.order(n, *key, "fill")
        else:
            drawn = (draws.words(DRAWN_AT_ONCE * need, *key, "fill", turn) % np.uint64(n)).astype(np.int64)
        turn += 1
        for row, text in zip(drawn.tolist(), same(drawn).tolist(), strict=True):
            if text not in taken and len(found) < need:
                taken.add(text)
                found.append(row)
    zeros = np.zeros(len(found), np.float32)
    return np.r_[rows_K, np.asarray(found, np.int64)], np.r_[labels_K, zeros].astype(np.float32)
