"""PQ, OPQ and SQ: faiss as the independent implementation, hand-worked grids, and what users get wrong."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from irctl.errors import ConfigError
from irctl.quantizers.shared import faiss_tools, opening


def correlated(n: int, dim: int = 32, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((dim, dim)) * np.arange(1, dim + 1)[:, None] ** -1.0
    return (rng.standard_normal((n, dim)) @ mixing).astype(np.float32)


@pytest.mark.parametrize(("m", "bits"), [(8, 8), (8, 4), (4, 6), (16, 5)])
def test_pq_codes_are_those_of_faiss(m: int, bits: int) -> None:
    x = correlated(2000)
    pq = opening.make("pq", {"m": m, "bits": bits, "iterations": 4}, 32)
    pq.fit(x)
    codes = pq.encode(x)
    index = pq.faiss_index()
    assert (index.sa_encode(x) != codes).any(axis=1).mean() < 0.002  # near-ties may fall either way
    np.testing.assert_allclose(index.sa_decode(codes), pq.decode(codes), atol=1e-6)


@pytest.mark.parametrize("metric", ("ip", "l2"))
def test_pq_scores_are_those_of_a_faiss_search(metric: str) -> None:
    x, q = correlated(800), correlated(3, seed=1)
    pq = opening.make("pq", {"m": 8, "bits": 5, "iterations": 4}, 32, metric)
    pq.fit(x)
    codes = pq.encode(x)
    index = pq.faiss_index()
    index.add_sa_codes(codes)
    found, rows = index.search(q, 800)
    expected = np.take_along_axis(pq.scores(q, codes), rows, 1)
    np.testing.assert_allclose(-found if metric == "l2" else found, expected, rtol=1e-4, atol=1e-4)


def test_two_centroids_worked_by_hand() -> None:
    # one slice, values near 0 and near 10: the centroids are the two means
    x = np.array([[0.0], [1.0], [9.0], [11.0]], np.float32)
    pq = opening.make("pq", {"m": 1, "bits": 1}, 1)
    pq.fit(x)
    assert sorted(pq.centroids_MKd.ravel().tolist()) == [0.5, 10.0]
    assert pq.decode(pq.encode(np.array([[4.0], [6.0]], np.float32))).ravel().tolist() == [0.5, 10.0]


def test_slices_that_do_not_divide_the_width_name_the_nearest_that_do() -> None:
    with pytest.raises(
        ConfigError, match=r"20 slices do not divide 384 dimensions\. Nearest that do: --set \w+.m=16 or --set \w+.m=24"
    ):
        opening.make("pq", {"m": 20}, 384)


def test_fewer_rows_than_centroids_name_the_legal_bits() -> None:
    pq = opening.make("pq", {"m": 8, "bits": 8}, 32)
    with pytest.raises(ConfigError, match=r"need at least 256 training rows, found 200\. .*--set pq.bits=7"):
        pq.fit(correlated(200))


def test_few_rows_a_centroid_are_said_once() -> None:
    pq = opening.make("pq", {"m": 8, "bits": 8, "iterations": 2}, 32)
    pq.fit(correlated(1400))
    assert (
        len(pq.warnings) == 1
        and "1400 training rows for 256 centroids" in pq.warnings[0]
        and "bits=5" in pq.warnings[0]
    )
    enough = opening.make("pq", {"m": 8, "bits": 4, "iterations": 2}, 32)
    enough.fit(correlated(1400))
    assert enough.warnings == []


def test_sixteen_bit_centroids_are_compared_in_pieces_without_changing_the_winner() -> None:
    from irctl.quantizers.shared import product

    rng = np.random.default_rng(0)
    x, centroids = rng.standard_normal((300, 4), dtype=np.float32), rng.standard_normal((2, 9000, 2), dtype=np.float32)
    distance = ((x.reshape(300, 2, 1, 2) - centroids[None]) ** 2).sum(-1)
    chosen = product.assign(x, centroids)
    best = np.take_along_axis(distance, chosen[:, :, None].astype(int), 2)[:, :, 0]
    np.testing.assert_allclose(best, distance.min(-1), atol=1e-5)


def test_opq_is_trained_on_rotated_rows_and_beats_pq_on_correlated_data() -> None:
    x = correlated(3000)
    errors = {}
    for name in ("pq", "opq"):
        q = opening.make(name, {"m": 8, "bits": 4}, 32)
        q.fit(x)
        errors[name] = ((q.decode(q.encode(x)) - x) ** 2).sum()
    assert errors["opq"] < 0.8 * errors["pq"]


def test_a_rotation_is_trained_on_a_row_for_each_of_its_dimensions_or_refused() -> None:
    # faiss keeps a matrix D x E in memory for D x rows: with fewer than E rows it ended the process
    with pytest.raises(ConfigError, match=r"rotation to 32 dimensions .* found 31\. .*opq\.dim"):
        opening.make("opq", {"m": 4, "bits": 2}, 32).fit(correlated(31))
    for dim, rows in ((0, 32), (8, 12)):
        opq = opening.make("opq", {"m": 4, "bits": 2, "dim": dim}, 32)
        opq.fit(correlated(rows))
        np.testing.assert_allclose(opq.rotation_ED @ opq.rotation_ED.T, np.eye(dim or 32), atol=1e-5)


@pytest.mark.parametrize(("points", "bits", "least"), [(12, 2, 32), (40, 6, 64)])
def test_points_too_few_for_a_rotation_are_refused_before_any_row_is_read(points: int, bits: int, least: int) -> None:
    with pytest.raises(ConfigError, match=rf"opq\.points: expected at least {least} rows.* found {points}"):
        opening.make("opq", {"m": 4, "bits": bits, "points": points}, 32)


@pytest.mark.parametrize("metric", ("ip", "l2"))
def test_a_reduced_opq_scores_like_its_decoded_rows(metric: str) -> None:
    x, q = correlated(900), correlated(4, seed=2)
    opq = opening.make("opq", {"m": 4, "bits": 4, "dim": 16, "iterations": 3}, 32, metric)
    opq.fit(x)
    assert opq.rotation_ED.shape == (16, 32)
    decoded = opq.decode(opq.encode(x)).astype(np.float64)
    expected = q @ decoded.T if metric == "ip" else -((q[:, None] - decoded[None]) ** 2).sum(2)
    scores, rows = opq.search(q, opq.encode(x), 900)
    np.testing.assert_allclose(scores, np.take_along_axis(expected, rows, 1), rtol=1e-3, atol=1e-3)


def test_sq8_worked_by_hand() -> None:
    # range 0..255: steps of 1, decoded at mid-step; beyond the range clamps
    x = np.array([[0.0], [255.0]], np.float32)
    sq = opening.make("sq", {"bits": 8}, 1)
    sq.fit(x)
    codes = sq.encode(np.array([[-7.0], [0.0], [3.2], [254.9], [300.0]], np.float32))
    assert codes.ravel().tolist() == [0, 0, 3, 254, 255]
    np.testing.assert_allclose(sq.decode(codes[1:4]).ravel(), [0.5, 3.5, 254.5])


def test_one_outlier_hurts_four_bits_less_with_a_clipped_range() -> None:
    x = np.random.default_rng(0).standard_normal((4000, 16)).astype(np.float32)
    x[0] = 80.0
    errors = []
    for clip in (0.0, 0.01):
        sq = opening.make("sq", {"bits": 4, "clip_quantile": clip}, 16)
        sq.fit(x)
        errors.append(((sq.decode(sq.encode(x[1:])) - x[1:]) ** 2).mean())
    assert errors[1] < errors[0] / 20


def test_sixteen_bits_are_half_precision() -> None:
    x = correlated(50)
    sq = opening.make("sq", {"bits": 16}, 32)
    assert (sq.decode(sq.encode(x)) == x.astype(np.float16).astype(np.float32)).all()
    assert sq.decode(sq.encode(np.full((1, 32), 1e9, np.float32)))[0, 0] == 65504.0


@pytest.mark.parametrize("bits", (4, 6, 8))
def test_sq_scores_are_those_of_a_faiss_search(bits: int) -> None:
    x, q = correlated(500), correlated(3, seed=4)
    sq = opening.make("sq", {"bits": bits}, 32)
    sq.fit(x)
    codes = sq.encode(x)
    index = sq.faiss_index()
    index.add_sa_codes(codes)
    found, rows = index.search(q, 10)
    np.testing.assert_allclose(sq.search(q, codes, 10)[0], found, rtol=1e-4)
    assert (sq.search(q, codes, 10)[1] == rows).mean() > 0.95


@pytest.mark.parametrize(("metric", "kind"), [("ip", faiss.IndexFlatIP), ("l2", faiss.IndexFlatL2)])
def test_flat_equals_faiss(metric: str, kind: type) -> None:
    x, q = correlated(700), correlated(5, seed=5)
    flat = opening.make("flat", {"dtype": "float32"}, 32, metric)
    scores, rows = flat.search(q, flat.encode(x), 20)
    index = kind(32)
    index.add(x)
    expected, expected_rows = index.search(q, 20)
    assert (rows == expected_rows).all()
    np.testing.assert_allclose(scores if metric == "ip" else -scores, expected, rtol=1e-4, atol=1e-4)


def test_ties_beyond_the_spare_results_are_still_cut_by_row() -> None:
    x = np.repeat(correlated(300), 3, axis=0)
    pq = opening.make("pq", {"m": 4, "bits": 1}, 32)
    pq.fit(x)
    codes = np.repeat(pq.encode(x)[:1], 900, axis=0)  # every row ties with every other
    _, rows = pq.search(correlated(2, seed=6), codes, 10)
    assert (rows == np.arange(10)).all()


def test_settings_out_of_range_are_refused() -> None:
    for name, bad in (("pq", {"bits": 17}), ("sq", {"bits": 5}), ("rabitq", {"bits": 10}), ("flat", {"dtype": "int8"})):
        with pytest.raises(ConfigError, match=f"{name}\\.{next(iter(bad))}"):
            opening.make(name, bad, 32)
    with pytest.raises(ConfigError, match="no compression method named 'qp'"):
        opening.make("qp", {}, 32)


def test_versions_are_kept_beside_the_arrays(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from irctl.quantizers.shared import store

    pq = opening.make("pq", {"m": 8, "bits": 2}, 32)
    pq.fit(correlated(100))
    pq.save(tmp_path)
    assert store.describe(tmp_path)["made_with"] == faiss_tools.versions()


@pytest.mark.parametrize("metric", ("ip", "l2", "cosine"))
@pytest.mark.parametrize(("name", "m"), [("pq", 16), ("pq", 4), ("opq", 8)])
def test_a_fast_scan_returns_scores_of_the_codes_and_nearly_always_the_same_rows(
    name: str, m: int, metric: str
) -> None:
    x, q = correlated(3000), correlated(40, seed=1)
    quantizer = opening.make(name, {"m": m, "bits": 4, "iterations": 4}, 32, metric)
    quantizer.fit(x)
    codes = quantizer.encode(x)
    scores, rows = quantizer.search_fast(q, codes, 10)
    every = quantizer.scores(q, codes)
    np.testing.assert_allclose(scores, np.take_along_axis(every, rows, 1), rtol=1e-4, atol=1e-4)
    expected = quantizer.search(q, codes, 10)[1]
    assert (rows == expected).all(axis=1).mean() >= 0.95
    assert quantizer.search_fast(q, codes[:7], 10)[1].shape == (40, 7)
    assert quantizer.search_fast(q, codes[:0], 10)[1].shape == (40, 0)


def test_a_fast_scan_of_other_bits_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected 4 bits a slice, these pq codes have 8"):
        opening.make("pq", {"m": 4}, 32).search_fast(correlated(1), np.zeros((1, 4), np.uint8), 1)


@pytest.mark.parametrize(("name", "settings"), [("flat", {"dtype": "float16"}), ("sq", {"bits": 16})])
def test_values_beyond_half_precision_are_clamped_and_told_once(name: str, settings: dict) -> None:
    x = np.ones((20, 8), np.float32)
    x[3, 2] = -1e6
    quantizer = opening.make(name, settings, 8)
    quantizer.fit(x)
    back = quantizer.decode(quantizer.encode(x))
    assert back[3, 2] == -65504 and np.isfinite(back).all()
    assert len(quantizer.warnings) == 1 and "values beyond 65504 are kept as 65504" in quantizer.warnings[0]
    plain = opening.make("flat", {"dtype": "float32"}, 8)
    plain.fit(x)
    assert (plain.decode(plain.encode(x)) == x).all() and plain.warnings == []
