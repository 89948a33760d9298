"""Which passages of a query make its group in an epoch. Every draw is keyed by (seed, epoch, query content).

Dimension key: K passages judged for one query.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from irctl.data import draws
from irctl.data.merging import Judged

GRADED = ("file", "random", "most_relevant", "least_relevant", "spread")


def choose(
    judged: Judged, how: str, size: int, key: tuple[object, ...], ids: Sequence[str] | None
) -> NDArray[np.int64]:
    """Places of at most `size` passages (0: all) of a graded query.

    ids: needed by most_relevant and least_relevant, where equal grades are ordered by id, descending.
    """
    n = len(judged)
    keep = min(size, n) if size else n
    if how == "file":
        return np.arange(keep)
    if how in ("most_relevant", "least_relevant"):
        assert ids is not None
        sign = -1.0 if how == "most_relevant" else 1.0
        by_id = sorted(range(n), key=ids.__getitem__, reverse=True)
        return np.asarray(sorted(by_id, key=lambda i: sign * judged.labels_K[i])[:keep], dtype=np.int64)
    order = _shuffled(judged, key)
    if how == "spread":
        grades = judged.labels_K[order]
        first = np.unique(grades, return_index=True)[1][::-1]  # the first of each grade, highest grade first
        order = np.r_[order[first], np.delete(order, first)]
    return order[:keep]


def _shuffled(judged: Judged, key: tuple[object, ...]) -> NDArray[np.int64]:
    """A random order; a passage of twice the weight is twice as likely to come first (Efraimidis, Spirakis 2006)."""
    if judged.weights_K is None:
        return draws.order(len(judged), *key, "selection")
    draw_K = draws.uniform(len(judged), *key, "selection")
    return np.argsort(np.log1p(-draw_K) / -judged.weights_K, kind="stable")


def one_positive(
    positives: Judged,
    negatives: Judged,
    size: int,
    *,
    seed: int,
    epoch: int,
    content: str,
    pins: tuple[bool, bool] = (False, False),
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(rows, labels): one positive, the next one each epoch, then size - 1 shuffled negatives.

    The window of negatives moves on by size - 1 an epoch and wraps, so that epochs see different ones.
    pins: always the first positive, always the first negatives.
    """
    turn = 0 if pins[0] else (draws.number(seed, content) + epoch) % len(positives)
    count = min(size - 1, len(negatives)) if size else len(negatives)
    if pins[1]:
        window = np.arange(count)
    else:
        order = draws.order(len(negatives), seed, content, "negatives")
        window = order[(epoch * (size - 1 if size else 0) + np.arange(count)) % len(negatives)]
    rows = np.r_[positives.rows_K[turn : turn + 1], negatives.rows_K[window]]
    return rows, np.r_[np.ones(1, np.float32), np.zeros(count, np.float32)]


def repeated(size: int, n: int) -> NDArray[np.int64]:
    """Places that fill a group of `size` from n passages by starting over; they then count more than once."""
    return np.arange(size) % n
