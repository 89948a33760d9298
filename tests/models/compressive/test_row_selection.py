"""Rows of the golden tables, and what holds for every length, prefix and ratio."""

from __future__ import annotations

import numpy as np
import pytest

from irctl.data import draws
from irctl.errors import ConfigError
from irctl.models.compressive import row_selection
from irctl.models.compressive.row_selection import Chunk

GOLDEN = [
    (Chunk(length=10, prefix=1), 4, [4, 8, 9], [3, 7, 9]),
    (Chunk(length=10, prefix=1), 2, [2, 4, 6, 8, 9], [1, 3, 5, 7, 9]),
    (Chunk(length=10, prefix=1), 1, list(range(1, 10)), list(range(1, 10))),
    (Chunk(length=10, prefix=1), 16, [9], [9]),
    (Chunk(length=9, prefix=2, instruction=1), 4, [5, 8], [4, 8, 8]),
    (Chunk(length=12, prefix=5, instruction=4), 3, [7, 10, 11], [6, 9]),
    (Chunk(length=13, prefix=5, instruction=4), 4, [8, 12], [7, 11, 12]),
    (Chunk(length=10), 1, list(range(10)), list(range(1, 10))),
]


@pytest.mark.parametrize(("chunk", "ratio", "content", "released"), GOLDEN)
def test_both_grids_are_those_worked_by_hand(chunk: Chunk, ratio: int, content: list[int], released: list[int]) -> None:
    assert row_selection.select(chunk, ratio, "stride").tolist() == content
    assert row_selection.select(chunk, ratio, "stride", grid="released").tolist() == released


@pytest.mark.parametrize("selection", ["stride", "random", "terminal"])
def test_exactly_a_row_for_each_ratio_of_content_is_kept_in_order_and_none_of_the_prefix(selection: str) -> None:
    generator = draws.generator("lengths", 1)
    for _ in range(300):
        prefix, content, ratio = (int(generator.integers(0, 9)), *(int(generator.integers(1, n)) for n in (90, 40)))
        chunk = Chunk(length=prefix + content, prefix=prefix, instruction=max(prefix - 1, 0))
        rows = row_selection.select(chunk, ratio, selection, generator=generator)
        assert len(rows) == -(-content // ratio) == row_selection.count_rows(content, ratio)
        assert (np.diff(rows) > 0).all() and rows[0] >= prefix and rows[-1] < chunk.length
        if selection != "random":
            assert rows[-1] == chunk.length - 1


def test_random_rows_follow_their_generator_and_reach_every_content_row() -> None:
    chunk = Chunk(length=11, prefix=1)
    drawn = [row_selection.select(chunk, 4, "random", generator=draws.generator("row", i)).tolist() for i in range(200)]
    assert drawn[0] == row_selection.select(chunk, 4, "random", generator=draws.generator("row", 0)).tolist()
    counts = np.bincount(np.concatenate(drawn), minlength=11)
    # three of ten rows each time: 60 of 200, and 5 standard deviations of a binomial are 32
    assert counts[0] == 0 and (np.abs(counts[1:] - 60) < 33).all()


def test_means_are_of_consecutive_content_rows_that_cover_it_once() -> None:
    assert row_selection.group_rows(Chunk(length=11, prefix=1), 4).tolist() == [[1, 5], [5, 9], [9, 11]]
    for ratio in (1, 3, 16):
        groups_R2 = row_selection.group_rows(Chunk(length=20, prefix=3), ratio)
        assert np.concatenate([np.arange(a, b) for a, b in groups_R2]).tolist() == list(range(3, 20))
        assert len(groups_R2) == row_selection.count_rows(17, ratio)


def test_adaptive_rows_fill_their_budget_exactly_and_hold_the_highest_scores() -> None:
    generator = draws.generator("scores", 1)
    for _ in range(300):
        size, ratio = int(generator.integers(1, 400)), int(generator.integers(1, 40))
        scores_S = generator.standard_normal(size)
        rows = row_selection.select_adaptive(scores_S, ratio)
        assert len(rows) == -(-size // ratio) and (np.diff(rows) > 0).all()
        best = int(row_selection.IMPORTANT * size)
        if best < len(rows):
            assert set(np.argsort(-scores_S)[:best].tolist()) <= set(rows.tolist())
        else:
            assert rows.tolist() == row_selection.select_adaptive(np.zeros(size), ratio, important=0).tolist()


def test_adaptive_rows_without_important_tokens_are_those_of_the_stride() -> None:
    for size, ratio in ((32, 4), (40, 8), (7, 7)):
        strided = row_selection.select(Chunk(length=size), ratio, "stride")
        assert row_selection.select_adaptive(np.zeros(size), ratio, important=0).tolist() == strided.tolist()


@pytest.mark.parametrize(
    ("selection", "grid", "ratio", "said"),
    [
        ("evenly", "content", 4, "acerag.selection: expected stride, random, terminal, mean"),
        ("stride", "mine", 4, "acerag.grid: expected content or released"),
        ("stride", "content", 0, "expected whole numbers of 1 or more, found 0"),
        ("terminal", "released", 4, "have stride and random"),
    ],
)
def test_words_and_ratios_that_there_are_not_are_refused(selection: str, grid: str, ratio: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        row_selection.select(Chunk(length=9), ratio, selection, grid=grid)
