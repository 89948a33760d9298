"""The learned quantizer: codes by the document side, scores by the query side, one truth for every way to score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from test_contracts_quantizers import data

from irctl.errors import ConfigError, DataError
from irctl.quantizers import learned
from irctl.quantizers.shared import bit_packing, opening, store

D = 64


def warm(name: str = "opq", metric: str = "ip", **more: Any) -> Any:
    quantizer = opening.make(name, {"m": 8, "bits": 4, "iterations": 2, **more}, D, metric)
    quantizer.fit(data())
    return quantizer


def with_query_side(parent: Any, seed: int = 1, *, mapped: bool = True) -> learned.Quantizer:
    """A quantizer whose query centroids and map differ from its document side."""
    rng, own = np.random.default_rng(seed), learned.Quantizer.from_product(parent)
    centroids = own.centroids_MKd + 0.1 * rng.standard_normal(own.centroids_MKd.shape).astype(np.float32)
    query_map = np.eye(D) + 0.05 * rng.standard_normal((D, D)) if mapped else None
    return own.replace_query_side(centroids, query_map)


@pytest.mark.parametrize("name", ("pq", "opq"))
def test_an_untrained_query_side_codes_and_scores_as_the_quantizer_it_came_from(name: str) -> None:
    parent, x = warm(name), data(300, seed=3)
    own = learned.Quantizer.from_product(parent)
    codes = parent.encode(x)
    assert (own.encode(x) == codes).all() and not own.has_query_side
    np.testing.assert_allclose(own.scores(x[:4], codes), parent.scores(x[:4], codes), atol=1e-5)
    np.testing.assert_allclose(own.decode(codes), parent.decode(codes), atol=1e-6)


def test_fit_is_the_warm_up_of_opq() -> None:
    own, opq = (opening.make(name, {"m": 8, "bits": 4}, D) for name in ("learned", "opq"))
    own.fit(data())
    opq.fit(data())
    assert (own.rotation_ED == opq.rotation_ED).all() and (own.centroids_MKd == opq.centroids_MKd).all()


@pytest.mark.parametrize("metric", ("ip", "cosine"))
@pytest.mark.parametrize("bits", (1, 3, 4, 5, 8))
def test_lookup_decode_and_dot_and_two_faiss_indexes_give_one_score(bits: int, metric: str) -> None:
    own = with_query_side(warm(metric=metric, bits=bits))
    x, queries = data(400, seed=4), data(5, seed=5)
    codes = own.encode(x)
    raw = queries / np.linalg.norm(queries, axis=1, keepdims=True) if metric == "cosine" else queries
    scores = own.scores(queries, codes)
    bound = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(raw @ own.decode(codes, side="query").T, scores, **bound)
    exported: Any = own.faiss_index()
    inner = faiss.downcast_index(exported.index)
    inner.add_sa_codes(codes)
    exported.ntotal = inner.ntotal
    found, rows = exported.search(raw, 400)
    np.testing.assert_allclose(found, np.take_along_axis(scores, rows, 1), **bound)
    by_hand = faiss.IndexPQ(D, 8, bits, faiss.METRIC_INNER_PRODUCT)  # rotated and mapped by hand
    faiss.copy_array_to_vector(own.query_centroids_MKd.ravel(), by_hand.pq.centroids)
    by_hand.is_trained = True
    by_hand.add_sa_codes(codes)
    found, rows = by_hand.search((raw @ own.query_map_DD.T @ own.rotation_ED.T).astype(np.float32), 400)
    np.testing.assert_allclose(found, np.take_along_axis(scores, rows, 1), **bound)
    best, best_rows = own.search(queries, codes, 20)
    np.testing.assert_allclose(best, np.take_along_axis(scores, best_rows, 1), **bound)
    if bits == 4:
        assert (own.search_fast(queries, codes, 20)[1] == best_rows).mean() > 0.9


def test_codes_are_of_the_document_side_and_scores_of_the_query_side(tmp_path: Path) -> None:
    parent, x = warm(), data(500, seed=6)
    own = with_query_side(parent)
    codes = own.encode(x)
    assert (codes == parent.encode(x)).all()
    swapped = learned.Quantizer.of_arrays(own.rotation_ED, own.query_centroids_MKd)
    assert (swapped.encode(x) != codes).any()
    assert not np.allclose(own.scores(x[:3], codes), parent.scores(x[:3], codes), atol=1e-3)
    np.testing.assert_array_equal(own.decode(codes), learned.Quantizer.from_product(parent).decode(codes))
    own.save(tmp_path / "pq")
    assert {f.name for f in (tmp_path / "pq").glob("*.npy")} == {
        "rotation.npy",
        "centroids.npy",
        "query_centroids.npy",
        "query_map.npy",
    }
    assert (opening.load(tmp_path / "pq").scores(x[:3], codes) == own.scores(x[:3], codes)).all()


@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_of_any_bits_are_the_slice_numbers_packed(bits: int) -> None:
    own = learned.Quantizer.of_arrays(None, np.random.default_rng(bits).standard_normal((5, 1 << bits, 3)))
    x = np.random.default_rng(0).standard_normal((40, 15)).astype(np.float32)
    which = ((x.reshape(40, 5, 1, 3) - own.centroids_MKd[None]) ** 2).sum(3).argmin(2)
    codes = own.encode(x)
    assert codes.shape == (40, (5 * bits + 7) // 8) and (bit_packing.unpack(codes, 5, bits) == which).all()


def test_a_rotation_that_drops_dimensions_scores_on_raw_queries() -> None:
    own = with_query_side(warm(dim=32), mapped=True)
    codes, queries = own.encode(data(100)), data(3, seed=9)
    np.testing.assert_allclose(queries @ own.decode(codes, side="query").T, own.scores(queries, codes), atol=1e-4)


def saved(folder: Path, **arrays: np.ndarray) -> Path:
    own = learned.Quantizer.from_product(warm())
    store.save(folder, "learned", own, {**own._arrays(), **arrays})
    return folder


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"rotation": np.eye(D, dtype=np.float32) * 1.01}, "R R"),
        ({"rotation": np.eye(D - 1, D, dtype=np.float32)}, "rotation: expected"),
        ({"centroids": np.zeros((8, 15, 8), np.float32)}, r"centroids: expected float32 \(8, 16, 8\), found .*15"),
        ({"query_centroids": np.zeros((8, 16, 4), np.float32)}, "query_centroids: expected"),
        ({"query_centroids": np.full((8, 16, 8), np.nan, np.float32)}, "query_centroids: holds NaN"),
        ({"query_map": np.eye(8, dtype=np.float32)}, "query_map: expected"),
        ({"query_map": np.eye(D)}, "query_map: expected float32"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_when_loaded(
    tmp_path: Path, arrays: dict[str, np.ndarray], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        opening.load(saved(tmp_path / "pq", **arrays))


def test_other_kinds_many_bits_and_a_map_under_l2_are_refused() -> None:
    with pytest.raises(ConfigError, match="flat: has no centroids"):
        learned.Quantizer.from_product(opening.make("flat", {}, D))
    with pytest.raises(ConfigError, match="1 to 8 bits"):
        learned.Quantizer.from_product(warm("pq", bits=9, iterations=1))
    own = learned.Quantizer.from_product(warm(metric="l2"))
    with pytest.raises(DataError, match="query map has no meaning for l2"):
        own.replace_query_side(None, np.eye(D))
