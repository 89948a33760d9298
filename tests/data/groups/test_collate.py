"""Candidate views: labels and masks of a loss batch, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irctl.data.groups.candidates import Known, Listed, View, view_arrays
from irctl.data.groups.group_source import GroupRows
from irctl.errors import ConfigError


def listed(*groups: tuple[int, list[int], list[float]]) -> Listed:
    return Listed.of([GroupRows(q, np.asarray(p), np.asarray(y, dtype=np.float32)) for q, p, y in groups])


def build_view(batch: Listed, inbatch: str, *, inbatch_label: float = 0.0, known: Known = ()) -> View:
    """The arrays of `view_arrays` as tensors."""
    arrays = view_arrays(batch, inbatch, inbatch_label=inbatch_label, known=known)
    return View(*(None if array is None else torch.from_numpy(array) for array in arrays))  # type: ignore[arg-type]


# Two queries, three passages each; passage 12 is listed by both, as grade 0 of the first and grade 2 of the second.
BATCH = listed((0, [10, 11, 12], [3, 1, 0]), (1, [20, 21, 12], [1, 0, 2]))
KNOWN = [{10: 3.0, 11: 1.0, 12: 0.0, 21: 2.0}, {20: 1.0, 21: 0.0, 12: 2.0, 10: 1.0}]


def test_own_holds_each_querys_passages_and_where_their_scores_are() -> None:
    view = build_view(BATCH, "own")
    assert view.labels_BN.tolist() == [[3, 1, 0], [1, 0, 2]] and view.mask_BN.all()
    assert view.columns_BK is not None and view.columns_BK.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_all_labels_other_queries_passages_alike_and_masks_nothing() -> None:
    view = build_view(BATCH, "all", inbatch_label=-3)
    assert view.labels_BN.tolist() == [[3, 1, 0, -3, -3, -3], [-3, -3, -3, 1, 0, 2]]
    assert view.mask_BN.all() and view.columns_BK is None


def test_masked_carries_known_grades_and_counts_a_passage_once_a_row() -> None:
    view = build_view(BATCH, "masked", inbatch_label=-3, known=KNOWN)
    # row 0: 21 is annotated 2, and column 5 copies its own 12. row 1: 10 is annotated 1, and column 2 is the copy.
    assert view.mask_BN.tolist() == [[True] * 5 + [False], [True, True, False, True, True, True]]
    assert view.labels_BN.masked_fill(~view.mask_BN, 9).tolist() == [[3, 1, 0, -3, 2, 9], [1, -3, 9, 1, 0, 2]]


def test_a_passage_that_two_other_queries_list_counts_once() -> None:
    batch = listed((0, [1], [1]), (1, [5, 6], [1, 0]), (2, [7, 5], [1, 0]))
    view = build_view(batch, "masked")
    assert view.mask_BN.tolist() == [
        [True, True, True, True, False],
        [True, True, True, True, False],
        [True, False, True, True, True],
    ]


def test_two_queries_with_the_same_positive_do_not_push_it_away() -> None:
    view = build_view(listed((0, [5], [1]), (1, [5], [1])), "masked", known=[{5: 1.0}, {5: 1.0}])
    assert view.mask_BN.tolist() == [[True, False], [False, True]]


def test_padding_never_counts_and_short_groups_end_masked() -> None:
    padded = listed((0, [1, 2, -1], [1, 0, 0]), (1, [3, -1, -1], [1, 0, 0]))
    for inbatch in ("all", "masked"):
        assert build_view(padded, inbatch).mask_BN.tolist() == [[True, True, False, True, False, False]] * 2
    ragged = listed((0, [1, 2], [1, 0]), (1, [3], [1]))
    view = build_view(ragged, "own")
    assert view.mask_BN.tolist() == [[True, True], [True, False]] and view.labels_BN.tolist() == [[1, 0], [1, 0]]


def test_repeated_own_passages_of_a_cycled_group_count_each_time() -> None:
    view = build_view(listed((0, [1, 1], [1, 1]), (1, [2, 3], [1, 0])), "masked")
    assert view.mask_BN.tolist() == [[True] * 4, [True, False, True, True]]


def test_views_match_a_plain_double_loop() -> None:
    rng = np.random.default_rng(0)
    groups, known = [], []
    for q in range(7):
        rows = rng.choice(15, size=int(rng.integers(1, 5)), replace=False)
        groups.append((q, rows.tolist(), rng.integers(0, 4, len(rows)).astype(float).tolist()))
        known.append({int(r): float(rng.integers(0, 4)) for r in rng.choice(15, 5, replace=False)})
    batch = listed(*groups)
    view = build_view(batch, "masked", inbatch_label=-1, known=known)
    for i in range(7):
        mine = set(groups[i][1])
        seen: set[int] = set()
        for j, (row, owner) in enumerate(zip(batch.passage_rows_N.tolist(), batch.owner_N.tolist(), strict=True)):
            counts = owner == i or (row not in mine and row not in seen)
            seen.add(row)
            label = batch.labels_N[j] if owner == i else known[i].get(row, -1)
            assert bool(view.mask_BN[i, j]) == counts, (i, j)
            assert float(view.labels_BN[i, j]) == label, (i, j)


def test_an_empty_batch_has_empty_views() -> None:
    for inbatch in ("own", "all", "masked"):
        assert build_view(listed(), inbatch).labels_BN.numel() == 0


def test_an_unknown_view_is_refused() -> None:
    with pytest.raises(ConfigError, match="own, all, masked"):
        build_view(BATCH, "some")
