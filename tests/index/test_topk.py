"""The total order of results: score descending, row ascending, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest

from irctl.index.scoring import dot, score_rows
from irctl.index.topk import TopK, decode_keys, encode_keys, merge, top_k


def by_sorting(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Every row sorted by (-score, row): the slow answer."""
    rows = np.stack([np.lexsort((np.arange(scores.shape[1]), -s))[:k] for s in scores])
    return np.take_along_axis(scores, rows, 1), rows


def test_two_rows_of_one_score_are_ordered_by_row() -> None:
    scores, rows = top_k(np.array([[0.5, 0.9, 0.9, 0.1]], np.float32), 3)
    assert rows.tolist() == [[1, 2, 0]] and scores[0, 0] == scores[0, 1]


def test_keys_order_all_floats_and_come_back_unchanged() -> None:
    values = np.array([-np.inf, -3.5, -1e-38, 0.0, 1e-38, 2.0, 3e38, np.inf], np.float32)
    keys = encode_keys(values, np.full(8, 7))
    assert (np.diff(keys) > 0).all()
    scores, rows = decode_keys(keys)
    assert (scores == values).all() and (rows == 7).all()
    assert encode_keys(np.float32([-0.0]), np.array([1])) == encode_keys(np.float32([0.0]), np.array([1]))


@pytest.mark.parametrize("block", (1, 7, 64, 1000, 3000))
@pytest.mark.parametrize("k", (1, 10, 100, 2500))
def test_any_block_size_gives_the_sorted_answer_with_many_ties(block: int, k: int) -> None:
    scores = np.random.default_rng(k).integers(0, 20, (5, 2000)).astype(np.float32)
    best = TopK(5, min(k, 2000))
    for start in range(0, 2000, block):
        best.push_block(scores[:, start : start + block], start)
    found = best.result()
    expected = by_sorting(scores, k)
    assert (found[0] == expected[0]).all() and (found[1] == expected[1]).all()


@pytest.mark.parametrize("rising", (True, False))
def test_what_waits_beside_the_best_is_bounded_also_where_every_row_is_better_than_those_before(rising: bool) -> None:
    scores = np.arange(20_000, dtype=np.float32)[None] * (1 if rising else -1)
    best = TopK(1, 10)
    for start in range(0, 20_000, 100):
        best.push_block(scores[:, start : start + 100], start)
        assert best._keys_Qw.shape[1] <= 2 * 11 + 100
    assert (best.result()[1] == by_sorting(scores, 10)[1]).all()


def test_candidates_of_some_queries_leave_the_others_as_they_were() -> None:
    best = TopK(3, 2)
    best.push(np.float32([[1, 2], [3, 4]]), np.array([[0, 1], [2, 3]]), np.array([0, 2]))
    best.push(np.float32([[5]]), np.array([[9]]), np.array([2]))
    scores, rows = best.result()
    assert rows.tolist() == [[1, 0], [-1, -1], [9, 3]] and scores[2].tolist() == [5, 4]


def test_shards_can_come_in_any_order() -> None:
    scores = np.random.default_rng(0).integers(0, 9, (3, 300)).astype(np.float32)
    parts = []
    for start in (200, 0, 100):
        s, r = top_k(scores[:, start : start + 100], 20)
        parts.append((s, r + start))
    found, expected = merge(parts, 20), by_sorting(scores, 20)
    assert (found[1] == expected[1]).all()


def test_boundary_ties_count_queries_cut_between_equal_scores() -> None:
    best = TopK(3, 2)
    best.push_block(np.float32([[3, 2, 2, 1], [3, 2, 1, 0], [5, 5, 5, 5]]), 0)
    assert best.count_boundary_ties() == 2
    few = TopK(1, 2)
    few.push_block(np.float32([[1, 1]]), 0)
    assert few.count_boundary_ties() == 0


def test_no_queries_no_rows_and_padding() -> None:
    assert [a.shape for a in TopK(0, 5).result()] == [(0, 0), (0, 0)]
    assert [a.shape for a in top_k(np.empty((2, 0), np.float32), 5)] == [(2, 0), (2, 0)]
    best = TopK(2, 2)
    best.push(np.float32([[1, 2], [4, 0]]), np.array([[0, 1], [9, -1]]))
    scores, rows = best.result()
    assert rows.tolist() == [[1, 0], [9, -1]] and scores[1, 1] == -np.inf


@pytest.mark.parametrize("metric", ("ip", "cosine", "l2"))
def test_equal_rows_have_equal_scores_wherever_they_stand(metric: str) -> None:
    rng = np.random.default_rng(0)
    row, queries = rng.standard_normal((1, 100), dtype=np.float32), rng.standard_normal((9, 100), dtype=np.float32)
    x = np.repeat(row, 5000, axis=0)
    scores = score_rows(queries, x, metric)
    assert (scores == scores[:, :1]).all()
    assert (score_rows(queries[4:5], x[:3], metric) == scores[4, :3]).all()


def test_similarities_worked_by_hand() -> None:
    q, x = np.float32([[3, 4]]), np.float32([[1, 0], [6, 8], [0, 0]])
    assert dot(q, x).tolist() == [[3, 50, 0]]
    np.testing.assert_allclose(score_rows(q, x, "cosine"), [[0.6, 1.0, 0.0]], atol=1e-7)
    assert score_rows(q, x, "l2").tolist() == [[-20, -25, -25]]
