"""What groups are made of: positives, other judged passages, mined negatives; and which have no negative of their own.

Dimension key: K passages of a group.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from irctl.data.groups import selection

if TYPE_CHECKING:
    from irctl.data.groups.group_source import GroupSource

MOST_GROUPS = 1000
"""Groups that are drawn to be counted, evenly spaced: drawing one takes some 50 microseconds."""


@dataclass(frozen=True)
class Shares:
    """Means over groups of the first epoch. alike: groups whose passages have one label, or none below the positives.

    unused: judged passages a query that no group of any epoch holds, for the selection is the same in each.
    """

    groups: int
    positives: float
    others: float
    mined: float
    alike: int
    unused: float
    expected: bool = False

    @property
    def passages(self) -> float:
        """Passages of a group, repeats not counted."""
        return self.positives + self.others + self.mined

    def line(self) -> str:
        parts = f"{self.positives:.2f} positives, {self.others:.2f} other judged, {self.mined:.2f} mined"
        return f"{parts} (means of {self.groups} groups{', if so many are found' if self.expected else ''})"


def measure_shares(source: GroupSource, *, to_mine: int = 0) -> Shares:
    """Of the groups as they are drawn. to_mine: negatives a query that are still to be mined, as if they were found."""
    size = source.settings.group_size
    room = selection.places_for_mined(size, to_mine) if not source.is_binary else 0
    judged = copy.copy(source)
    judged.settings = replace(source.settings, group_size=max(size - room, 0), short="pad")
    theta = source.positive_threshold
    indices = np.unique(np.linspace(0, len(source) - 1, min(len(source), MOST_GROUPS)).astype(int)).tolist()
    counts, alike = [], 0
    for index in indices:
        rows = judged.rows(index, 0)
        known = source.known(rows.query_row)
        mined = source.mined(rows.query_row)
        is_mined_K = np.isin(rows.passage_rows_K, list(mined))
        positives = int((rows.labels_K >= theta).sum())
        negatives = float(is_mined_K.sum())
        others = len(rows.labels_K) - positives - negatives
        if to_mine and source.is_binary:
            low = sum(label < theta for label in known.values())
            places = min(size - 1, low + to_mine) if size else low + to_mine
            others, negatives = places * low / (low + to_mine), places * to_mine / (low + to_mine)
        elif to_mine:
            negatives = float(min(to_mine, size - len(rows.labels_K)) if size else to_mine)
        lowest = 0.0 if negatives else float(rows.labels_K.min())
        alike += bool(lowest >= theta if source.is_binary else lowest == rows.labels_K.max())
        unused = len(known) - len(mined) - positives - others
        counts.append((positives, others, negatives, unused))
    means = np.mean(counts, axis=0).tolist()
    changes = source.is_binary or source.settings.selection in ("random", "spread")
    positives, others, negatives, unused = means if not changes else [*means[:3], 0.0]
    return Shares(len(indices), positives, others, negatives, alike, unused, bool(to_mine))
