"""Distortion, estimator error, recall and rates, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from irctl.metrics.vectors import distortion, efficiency, neighbour_recall


def test_relative_mse_is_lost_over_all_energy() -> None:
    x = np.float32([[3, 4], [0, 0]])
    assert distortion.relative_mse(x, np.float32([[3, 3], [0, 0]])) == pytest.approx(1 / 25)
    assert distortion.relative_mse(x * 0, x * 0) == 0.0


def test_estimator_error_and_bias_are_over_the_mean_similarity() -> None:
    found = distortion.estimator_error(np.float32([[2, -1]]), np.float32([[1, -3]]))
    assert found == pytest.approx((1.5 / 2, 1.5 / 2))
    assert distortion.estimator_error(np.float32([[2, -4]]), np.float32([[1, -3]])).bias == 0.0


def test_recall_counts_the_exact_neighbours_found_whatever_their_order() -> None:
    exact = np.array([[1, 2, 3], [4, 5, -1]])
    assert neighbour_recall.recall_at(np.array([[3, 9, 1], [5, 4, 0]]), exact, 3) == pytest.approx((2 / 3 + 1) / 2)
    assert neighbour_recall.recall_at(np.array([[2, 1, 3], [4, 9, 9]]), exact, 1) == 0.5
    assert neighbour_recall.recall_at(exact[:0], exact[:0], 10) == 0.0


def test_bytes_a_row_come_from_files_with_and_without_ids() -> None:
    parts = [{"rows": 10, "bytes": 288, "ids_bytes": 100}, {"rows": 10, "bytes": 288}]
    assert efficiency.bytes_per_row(parts) == (28.8, 33.8)
    assert efficiency.bytes_per_row([]) == (0.0, 0.0)
    assert efficiency.ratio(1024, 16) == 256 and efficiency.ratio(1024, 16, 2) == 128
    assert efficiency.rate(1000, 0.5) == 2000 and efficiency.rate(1000, 0.0) == 0.0
