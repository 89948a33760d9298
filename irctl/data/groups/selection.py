"""Which passages of a query make its group in an epoch. Every draw is keyed by (seed, epoch, query content).

Graded groups keep room for mined negatives, which the judged passages of a query would otherwise often leave none of.

Dimension key: K passages judged for one query.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from irctl.data import draws
from irctl.data.groups.merged_sources import JudgedPassages

MINED_SHARE = 0.25
"""Of a graded group's places, those kept for mined negatives, at least one: as SyCL has one of four grades 0."""


class Names(NamedTuple):
    """What orders passages of equal grade [K]: their ids, and the number of the corpus each is of."""

    ids: Sequence[str]
    corpora: Sequence[int]


def places_for_mined(size: int, mined: int) -> int:
    """Places of a graded group of `size` that are kept for so many mined negatives."""
    return min(mined, max(int(size * MINED_SHARE), 1), max(size - 1, 0))


def choose(
    judged: JudgedPassages, how: str, size: int, key: tuple[object, ...], names: Names | None
) -> NDArray[np.int64]:
    """Places of at most `size` passages (0: all) of a graded query; of each kind those that `how` chooses.

    names: needed by most_relevant and least_relevant.
    """
    if judged.mined_K is None or not size or len(judged) <= size:
        return _chosen(judged, how, size, key, names)
    sides = [np.flatnonzero(is_side_K) for is_side_K in (~judged.mined_K, judged.mined_K)]
    counts = [min(len(sides[0]), size - places_for_mined(size, len(sides[1])))]
    counts.append(size - counts[0])
    places = []
    for side, count in zip(sides, counts, strict=True):
        if count:
            own = names and Names([names.ids[i] for i in side.tolist()], [names.corpora[i] for i in side.tolist()])
            places.append(side[_chosen(judged.at(side), how, count, key, own)])
    return np.concatenate(places)


def _chosen(
    judged: JudgedPassages, how: str, size: int, key: tuple[object, ...], names: Names | None
) -> NDArray[np.int64]:
    n = len(judged)
    keep = min(size, n) if size else n
    if how == "file":
        return np.arange(keep)
    if how in ("most_relevant", "least_relevant"):
        assert names is not None
        return np.asarray(_by_grade(judged, -1.0 if how == "most_relevant" else 1.0, names, key)[:keep], dtype=np.int64)
    order = _shuffled(judged, key)
    if how == "spread":
        grades = judged.labels_K[order]
        first = np.unique(grades, return_index=True)[1][::-1]  # the first of each grade, highest grade first
        order = np.r_[order[first], np.delete(order, first)]
    return order[:keep]


def _by_grade(judged: JudgedPassages, sign: float, names: Names, key: tuple[object, ...]) -> list[int]:
    """Places by sign x grade. Equal grades by id, descending; those of several corpora take turns, the first by lot.

    The lot is one a query, not one an epoch: these selections are the same in every epoch.
    """
    places = sorted(range(len(judged)), key=names.ids.__getitem__, reverse=True)
    if len(corpora := sorted(set(names.corpora))) == 1:
        return sorted(places, key=lambda i: sign * judged.labels_K[i])
    seed, _, content = key
    lots = draws.order(len(corpora), seed, content, "corpora").tolist()
    turn_of = dict(zip(corpora, lots, strict=True))
    seen: Counter[tuple[float, int]] = Counter()
    turns = {}
    for i in places:
        pile = (float(judged.labels_K[i]), names.corpora[i])
        turns[i] = (seen[pile], turn_of[names.corpora[i]])
        seen[pile] += 1
    return sorted(places, key=lambda i: (sign * float(judged.labels_K[i]), turns[i]))


def _shuffled(judged: JudgedPassages, key: tuple[object, ...]) -> NDArray[np.int64]:
    """A random order; a passage of twice the weight is twice as likely to come first (Efraimidis, Spirakis 2006)."""
    if judged.weights_K is None:
        return draws.order(len(judged), *key, "selection")
    draw_K = draws.uniform(len(judged), *key, "selection")
    return np.argsort(np.log1p(-draw_K) / -judged.weights_K, kind="stable")


def choose_one_positive(
    positives: JudgedPassages,
    negatives: JudgedPassages,
    size: int,
    *,
    seed: int,
    epoch: int,
    content: str,
    pins: tuple[bool, bool] = (False, False),
    refill: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(rows, labels): one positive, the next one each epoch, then size - 1 shuffled negatives.

    The window of negatives moves on by size - 1 an epoch and wraps, so that epochs see different ones. It moves over an
    order drawn for the query, so a visit's negatives are a uniform draw without replacement, by seed, query and epoch.
    pins: always the first positive, always the first negatives. refill: fewer negatives than size - 1 start over.
    """
    turn = 0 if pins[0] else (draws.number(seed, content) + epoch) % len(positives)
    count = len(negatives) if not size or (len(negatives) < size - 1 and not refill) else size - 1
    if not len(negatives):
        count, window = 0, np.zeros(0, np.int64)
    elif pins[1]:
        window = np.arange(count) % len(negatives)
    else:
        order = draws.order(len(negatives), seed, content, "negatives")
        window = order[(epoch * (size - 1 if size else 0) + np.arange(count)) % len(negatives)]
    labels = np.zeros(1 + count, np.float32)
    labels[0] = 1
    return np.concatenate([positives.rows_K[turn : turn + 1], negatives.rows_K[window]]), labels


def repeat_places(size: int, n: int) -> NDArray[np.int64]:
    """Places that fill a group of `size` from n passages by starting over; they then count more than once."""
    return np.arange(size) % n
