"""Sign bits: worked by hand, against plain numpy and faiss, and what a query in floats keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from irctl.errors import ConfigError, DataError
from irctl.metrics.vectors.neighbour_recall import recall_at
from irctl.pipelines.compress.probe import Probe
from irctl.quantizers.shared import opening

METRICS = ("ip", "l2", "cosine")


def rows(n: int, dim: int = 48, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, dim)) * np.arange(1, dim + 1) ** -0.3 + 0.1).astype(np.float32)


def fitted(settings: dict[str, Any], dim: int = 48, metric: str = "ip", n: int = 501) -> Any:
    quantizer = opening.make("binary", settings, dim, metric, 7)
    quantizer.fit(rows(n, dim))
    return quantizer


def expected_signs(quantizer: Any, x: np.ndarray, thresholds: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Signs [N, D] of rotated rows, nothing of irctl's but the rotation."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True) if quantizer.metric == "cosine" else x
    return np.where(unit.astype(np.float64) @ rotation.T.astype(np.float64) >= thresholds, 1.0, -1.0)


def test_signs_and_scores_worked_by_hand() -> None:
    quantizer = opening.make("binary", {}, 8)
    quantizer.fit(np.empty((0, 8), np.float32))
    x = np.array([[0.5, -1, 0, 2, -3, 0.1, -0.1, 9], [-1, -1, -1, -1, -1, -1, -1, -1]], np.float32)
    codes = quantizer.encode(x)
    assert codes.tolist() == [[0b10101101], [0]]  # least bit first; 0 counts as positive
    q = np.array([[1, 2, 4, 8, 16, 32, 64, 128]], np.float32)
    assert quantizer.scores(q, codes).tolist() == [[1 - 2 + 4 + 8 - 16 + 32 - 64 + 128, -255]]
    assert quantizer.search(q, codes, 1)[1].tolist() == [[0]]


def test_the_medians_are_those_of_the_training_rows() -> None:
    quantizer = opening.make("binary", {"threshold": "median"}, 2)
    quantizer.fit(np.array([[1, -5], [2, 0], [9, -1]], np.float32))
    assert quantizer.thresholds_D.tolist() == [2, -1]
    assert quantizer.encode(np.array([[2, -2], [1.9, 0]], np.float32)).tolist() == [[0b01], [0b10]]
    with pytest.raises(DataError, match="rows to take the medians of, found none"):
        opening.make("binary", {"threshold": "median"}, 2).fit(np.empty((0, 2), np.float32))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("settings", [{}, {"threshold": "median"}, {"threshold": "median", "rotate": True}], ids=str)
def test_a_score_is_the_sum_of_the_query_over_the_signs(settings: dict[str, Any], metric: str) -> None:
    quantizer, x, q = fitted(settings, metric=metric), rows(300, seed=1), rows(5, seed=2).astype(np.float64)
    rotation = quantizer._rotation["rotation"] if settings.get("rotate") else np.eye(48)
    unit = rows(501) / np.linalg.norm(rows(501), axis=1, keepdims=True) if metric == "cosine" else rows(501)
    thresholds = np.median(unit @ rotation.T, axis=0) if "threshold" in settings else np.zeros(48)
    signs = expected_signs(quantizer, x, thresholds, rotation)
    turned = (q / np.linalg.norm(q, axis=1, keepdims=True) if metric == "cosine" else q) @ rotation.T
    products = turned @ signs.T
    expected = -((turned[:, None] - signs[None]) ** 2).sum(2) if metric == "l2" else products
    np.testing.assert_allclose(quantizer.scores(q, quantizer.encode(x)), expected, rtol=1e-5, atol=1e-4)
    found, order = quantizer.search(q, quantizer.encode(x), 300)
    np.testing.assert_allclose(found, np.take_along_axis(expected, order, 1), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dim", (48, 61))
@pytest.mark.parametrize("metric", METRICS)
def test_a_binary_query_is_ranked_by_the_bits_that_differ(metric: str, dim: int) -> None:
    quantizer, x, q = fitted({"query": "binary"}, dim, metric), rows(300, dim, 1), rows(5, dim, 2)
    differ = ((q[:, None] >= 0) != (x[None] >= 0)).sum(2)
    expected = -4.0 * differ if metric == "l2" else dim - 2.0 * differ
    codes = quantizer.encode(x)
    assert (quantizer.scores(q, codes) == expected).all()
    found, order = quantizer.search(q, codes, 40)
    assert (found == np.take_along_axis(expected, order, 1)).all()
    assert (order == np.argsort(-expected, axis=1, kind="stable")[:, :40]).all()  # ties, which are many, by row


@pytest.mark.parametrize("dim", (48, 61))
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "settings",
    [{}, {"threshold": "median"}, {"rotate": True}, {"query": "binary", "threshold": "median", "rotate": True}],
    ids=str,
)
def test_the_faiss_file_scores_raw_queries_identically(
    settings: dict[str, Any], metric: str, dim: int, tmp_path: Path
) -> None:
    quantizer, x, q = fitted(settings, dim, metric), rows(200, dim, 1), rows(5, dim, 2)
    codes = quantizer.encode(x)
    outer: Any = quantizer.faiss_index()
    inner = faiss.downcast_index(outer.index) if isinstance(outer, faiss.IndexPreTransform) else outer
    inner.add_sa_codes(codes)
    outer.ntotal = inner.ntotal
    faiss.write_index(outer, str(tmp_path / "f"))
    index = faiss.read_index(str(tmp_path / "f"))
    unit = q / np.linalg.norm(q, axis=1, keepdims=True) if metric == "cosine" else q
    found, order = index.search(unit, 200)
    scores = np.take_along_axis(quantizer.scores(q, codes), order, 1)
    if settings.get("query") == "binary":
        expected = -4 * found if metric == "l2" else dim - 2 * found
        assert (scores == expected).all() and "Hamming distance" in quantizer.faiss_differs
        return
    assert quantizer.faiss_differs == ""
    np.testing.assert_allclose(-found if metric == "l2" else found, scores, rtol=1e-5, atol=1e-4)


def test_the_fast_scan_finds_the_same_rows_with_the_same_scores() -> None:
    for settings in ({}, {"query": "binary"}, {"rotate": True}):
        quantizer, codes, q = fitted(settings), fitted(settings).encode(rows(3000, seed=1)), rows(6, seed=2)
        (scores, order), (fast, fast_order) = quantizer.search(q, codes, 10), quantizer.search_fast(q, codes, 10)
        np.testing.assert_allclose(fast, scores, rtol=1e-5)
        assert settings or (fast_order == order).mean() > 0.9  # equal scores may change places
    with pytest.raises(ConfigError, match="a multiple of 8 dimensions, these have 61"):
        fitted({}, 61).search_fast(rows(1, 61), np.empty((0, 8), np.uint8), 1)


def test_a_query_in_floats_keeps_more_than_a_binary_one() -> None:
    x, q = rows(2000, seed=1), rows(60, seed=2)
    exact = np.argsort(-(q.astype(np.float64) @ x.T.astype(np.float64)), axis=1)[:, :10]
    recall = {}
    for query in ("float", "binary"):
        quantizer = fitted({"query": query})
        recall[query] = recall_at(quantizer.search(q, quantizer.encode(x), 10)[1], exact, 10)
    assert recall["float"] > recall["binary"] + 0.05


def test_the_seed_draws_the_rotation() -> None:
    def codes(seed: int) -> np.ndarray:
        quantizer = opening.make("binary", {"rotate": True}, 48, "ip", seed)
        quantizer.fit(rows(10))
        return quantizer.encode(rows(50))

    assert (codes(1) == codes(1)).all() and (codes(1) != codes(2)).any()


def test_what_only_ranks_has_no_error_of_reconstruction() -> None:
    # |x - b|^2 of rows of length 1 would be 350 times |x|^2 at 384 dimensions, and says nothing
    measured = Probe(rows(50, seed=3), rows(400, seed=4), 0, "ip").measure(fitted({}))
    assert measured["recall@10"] > 0.2 and not {"relative_mse", "estimator_error"} & set(measured)


@pytest.mark.parametrize(("name", "value"), [("threshold", "mean"), ("query", "int8")])
def test_words_that_are_no_choice_are_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"binary.{name}: expected .* or .*, found '{value}'"):
        opening.make("binary", {name: value}, 8)
