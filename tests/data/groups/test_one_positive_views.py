"""A row's own positive against the rest of the batch: labelled positives and copies are out, the own column never."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from irctl.data.groups.group_source import GroupRows
from irctl.data.groups.one_positive_views import one_positive_views


class Known:
    """Positives by query; passages 70 and 71 are the same text."""

    def __init__(self, positives: Mapping[int, set[int]]) -> None:
        self.positives = positives

    def known(self, query_row: int) -> dict[int, float]:
        return dict.fromkeys(self.positives[query_row], 1.0) | {60: 0.0}

    def same(self, rows_K: np.ndarray) -> np.ndarray:
        return np.where(rows_K == 71, 70, rows_K)


def group(query: int, *passages: int) -> GroupRows:
    return GroupRows(query, np.array(passages), np.array([1.0] + [0.0] * (len(passages) - 1), np.float32))


def columns(known: Known, *groups: GroupRows) -> list[list[int]]:
    """The columns that count for each query."""
    view = one_positive_views(known, groups, ["masked"], 0.0)["masked"]
    own = np.cumsum([0, *(len(g.passage_rows_K) for g in groups[:-1])])
    assert all(view.labels_BN[row, column] == 1 for row, column in enumerate(own))
    return [np.flatnonzero(row).tolist() for row in view.mask_BN]


def test_two_queries_that_share_their_positive_see_it_once_each_in_their_own_column() -> None:
    known = Known({0: {10}, 1: {10}})
    # columns: 0 = 10 (positive of 0), 1 = 11, 2 = 10 (positive of 1), 3 = 12
    assert columns(known, group(0, 10, 11), group(1, 10, 12)) == [[0, 1, 3], [1, 2, 3]]


def test_a_labelled_positive_of_the_row_in_another_column_is_no_negative() -> None:
    known = Known({0: {10, 20}, 1: {20}, 2: {30}})
    # 0: 10 11 | 1: 20 10 | 2: 30 12; query 0 has 20 as its second positive, and 10 among the negatives of query 1
    found = columns(known, group(0, 10, 11), group(1, 20, 10), group(2, 30, 12))
    assert found[0] == [0, 1, 4, 5]
    assert found[1] == [0, 1, 2, 4, 5], "column 3 is a copy of column 0, a positive that comes first"
    assert found[2] == [0, 1, 2, 4, 5]


def test_of_equal_negatives_the_first_counts_and_positives_come_before_negatives() -> None:
    known = Known({0: {10}, 1: {20}})
    # 0: 10 20 11 | 1: 20 11 12: query 0 has the positive of 1 as a negative
    assert columns(known, group(0, 10, 20, 11), group(1, 20, 11, 12)) == [[0, 2, 3, 5], [0, 2, 3, 5]]


def test_copies_of_a_text_are_one_text() -> None:
    known = Known({0: {70}, 1: {20}})
    assert columns(known, group(0, 70, 11), group(1, 20, 71)) == [[0, 1, 2], [0, 1, 2]]


def test_a_judged_negative_stays_and_other_views_are_those_of_all_groups() -> None:
    known = Known({0: {10}, 1: {20}})
    groups = (group(0, 10, 60), group(1, 20, 60, 61))
    assert columns(known, *groups) == [[0, 1, 2, 4], [0, 1, 2, 4]]
    views = one_positive_views(known, groups, ["own", "all"], 0.0)
    assert views["all"].mask_BN.all() and views["all"].mask_BN.shape == (2, 5)
    assert views["own"].columns_BK.tolist() == [[0, 1, 0], [2, 3, 4]]


def test_a_row_by_row_rule_gives_the_same_masks() -> None:
    """The rule as it is written down, over random groups."""
    random = np.random.default_rng(2)
    for _ in range(20):
        positives = {q: set(random.integers(0, 12, 3).tolist()) for q in range(5)}
        groups = [
            group(q, random.choice(sorted(positives[q])), *random.integers(0, 40, random.integers(0, 4)))
            for q in range(5)
        ]
        groups = [
            GroupRows(
                g.query_row,
                np.array([g.passage_rows_K[0], *(p for p in g.passage_rows_K[1:] if p not in positives[q])]),
                np.zeros(0, np.float32),
            )
            for q, g in enumerate(groups)
        ]
        groups = [group(g.query_row, *g.passage_rows_K.tolist()) for g in groups]
        starts = np.cumsum([0, *(len(g.passage_rows_K) for g in groups)])
        listed = np.concatenate([g.passage_rows_K for g in groups])
        order = [*starts[:-1], *(c for c in range(len(listed)) if c not in starts[:-1])]
        wanted = []
        for q in range(5):
            kept, seen = [], set()
            for column in order:
                first = listed[column] not in seen
                seen.add(listed[column])
                is_own = column == starts[q]
                if is_own or (first and listed[column] not in positives[q]):
                    kept.append(int(column))
            wanted.append(sorted(kept))
        assert columns(Known(positives), *groups) == wanted
