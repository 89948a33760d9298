"""RaBitQ: our reading of faiss's records against faiss's own search, the estimator, and why it must rotate."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import faiss
import numpy as np
import pytest

from irctl.index import shards
from irctl.quantizers.shared import faiss_tools, opening, rotations
from irctl.quantizers.shared.search import prepare

D = 64


def clustered(n: int, seed: int = 0, dim: int = D) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((10, dim))
    return (centres[rng.integers(0, 10, n)] + rng.standard_normal((n, dim))).astype(np.float32)


@pytest.mark.parametrize("bits", (1, 2, 3, 4, 8, 9))
@pytest.mark.parametrize("metric", ("ip", "l2"))
def test_scores_are_those_of_faiss_for_an_exact_query(bits: int, metric: str) -> None:
    x, q = clustered(60), clustered(4, seed=1)
    ours = opening.make("rabitq", {"bits": bits, "rotation": "none", "query_bits": 0}, D, metric)
    ours.fit(x)
    index = faiss.IndexRaBitQ(D, faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT, bits)
    index.train(x)
    index.qb = 0
    np.testing.assert_allclose(ours.center_D, faiss.vector_to_array(index.center), atol=1e-5)
    ours.center_D = faiss.vector_to_array(index.center)  # summed in another order
    codes, theirs = ours.encode(x), index.sa_encode(x)
    exact = D // 8 if bits == 1 else None  # faiss's sums of one-bit codes are rounded more than ours
    assert (theirs[:, :exact] == codes[:, :exact]).all()
    index.add(x)
    a = np.ones((4, 1), np.float32)
    if metric == "ip":  # for a query that has the centre in it once; ours are proportional to the query
        a = (q @ ours.center_D / (ours.center_D @ ours.center_D))[:, None]
    found, rows = index.search(q / a, 60)  # all rows, so that nothing is pruned
    expected = np.take_along_axis(ours.scores(q, codes), rows, 1)
    np.testing.assert_allclose(-found if metric == "l2" else found * a, expected, rtol=2e-4, atol=2e-3)


@pytest.mark.parametrize("metric", ("ip", "l2", "cosine"))
@pytest.mark.parametrize("dim", (48, 64, 61))
def test_one_bit_codes_have_faiss_s_signs_and_factors_nearer_to_those_of_float64(dim: int, metric: str) -> None:
    x = clustered(1200, dim=dim) + 3
    quantizer = opening.make("rabitq", {"query_bits": 0}, dim, metric)
    quantizer.fit(x)
    codes, signs = quantizer.encode(x), (dim + 7) // 8
    rows = prepare(x, dim, metric)
    turned, center = rotations.apply(quantizer._rotation, rows), quantizer.center_D
    theirs = faiss_tools.encode(faiss_tools.rabitq_index(center, 1, metric), turned)
    assert (codes[:, :signs] == theirs[:, :signs]).all()
    r = (turned - center).astype(np.float64)
    f0 = (
        (r**2).sum(1) if metric == "l2" else center.astype(np.float64) @ center - 2 * turned @ center.astype(np.float64)
    )
    f1 = (r**2).sum(1) * dim**0.5 / np.abs(r).sum(1)
    for number, exact in enumerate((f0, f1)):
        ours, his = (np.ascontiguousarray(c[:, signs:]).view("<f4")[:, number] for c in (codes, theirs))
        np.testing.assert_allclose(ours, exact, rtol=2e-6, atol=2e-6 * np.abs(exact).max())
        assert np.abs(ours - exact).max() < 1.5 * np.abs(his - exact).max()
    q = clustered(20, seed=5, dim=dim)
    ours, his = quantizer.scores(q, codes), quantizer.scores(q, theirs)
    np.testing.assert_allclose(ours, his, rtol=1e-5, atol=1e-5 * np.abs(his).max())
    assert (quantizer.search(q, codes, 10)[1] == quantizer.search(q, theirs, 10)[1]).all()


def test_rows_close_to_the_centre_are_estimated_as_well_as_others() -> None:
    # faiss leaves a residual shorter than 3e-4 its length for a factor: scores of such data were off by all they were
    x, q = clustered(500), clustered(20, seed=8)
    errors = []
    for scale in (1, 1e-5):
        quantizer = opening.make("rabitq", {}, D)
        quantizer.fit(x * np.float32(scale))
        scores = quantizer.scores(q, quantizer.encode(x * np.float32(scale)))
        errors.append(np.abs(scores / scale - q @ x.T).mean())
    assert errors[1] == pytest.approx(errors[0], rel=1e-3)


def test_a_quantizer_trained_before_goes_on_with_the_codes_it_began_with(tmp_path: Path) -> None:
    x = clustered(600) + 3
    quantizer = opening.make("rabitq", {}, D)
    quantizer.fit(x)
    quantizer.save(tmp_path)
    assert (opening.load(tmp_path).encode(x) == quantizer.encode(x)).all()
    described = json.loads((tmp_path / "quantizer.json").read_text())
    assert described.pop("factors") == "irctl"
    (tmp_path / "quantizer.json").write_text(before := shards.as_json(described))
    old = opening.load(tmp_path)
    index = faiss_tools.rabitq_index(old.center_D, 1, "ip")
    assert (old.encode(x) == faiss_tools.encode(index, rotations.apply(old._rotation, x))).all()
    assert (old.encode(x) != quantizer.encode(x)).any()
    old.save(tmp_path / "again")
    assert (tmp_path / "again" / "quantizer.json").read_text() == before


@pytest.mark.parametrize("offset", (0.0, 1e-7, 1e-4, 30.0))
@pytest.mark.parametrize("bits", (1, 4))
def test_a_centre_at_or_near_or_far_from_0_loses_no_accuracy(bits: int, offset: float) -> None:
    # f0 holds <r, c> as a difference of squares: divided by a centre near 0 it would be noise many times the score
    x = clustered(2000) - clustered(2000).mean(axis=0, dtype=np.float64).astype(np.float32)
    q = clustered(20, seed=8)
    q[0] = 0
    for query_bits in (0, 8):
        quantizer = opening.make("rabitq", {"bits": bits, "query_bits": query_bits}, D)
        quantizer.fit(x + np.float32(offset))
        if offset == 0.0:
            quantizer.center_D[:] = 0
        codes = quantizer.encode(x + np.float32(offset))
        exact = q.astype(np.float64) @ (x + np.float32(offset)).astype(np.float64).T
        found, rows = quantizer.search(q, codes, 2000)
        error = found - np.take_along_axis(exact, rows, 1)
        assert (found[0] == 0).all()
        assert error.std() < {1: 0.85, 4: 0.13}[bits] * (q @ x.T).std()


@pytest.mark.parametrize(("bits", "expected"), [(1, 136), (2, 276), (4, 532), (8, 1044), (9, 1172)])
def test_bytes_a_row_count_the_factors(bits: int, expected: int) -> None:
    assert opening.make("rabitq", {"bits": bits}, 1024).code_size == expected


def test_the_estimate_is_unbiased_over_rotations() -> None:
    x, q = clustered(1, seed=2), clustered(1, seed=3)
    exact = float((x.astype(np.float64) @ q.T.astype(np.float64))[0, 0])
    estimates = []
    for seed in range(300):
        quantizer = opening.make("rabitq", {"rotation": "dense", "query_bits": 0}, D, "ip", seed)
        quantizer.fit(clustered(20, seed=4))
        estimates.append(float(quantizer.scores(q, quantizer.encode(x))[0, 0]))
    error = np.mean(estimates) - exact
    assert abs(error) < 3 * np.std(estimates) / np.sqrt(len(estimates))


def test_the_error_bound_covers_its_share_of_pairs() -> None:
    x, q = clustered(400, seed=5), clustered(40, seed=6)
    quantizer = opening.make("rabitq", {"rotation": "dense", "query_bits": 0}, D)
    quantizer.fit(x)
    rotated = rotations.apply(quantizer._rotation, x) - quantizer.center_D
    query = rotations.apply(quantizer._rotation, q) - quantizer.center_D
    length = np.linalg.norm(rotated, axis=1)
    s = np.abs(rotated).sum(1) / (np.sqrt(D) * length)
    bound = length * 1.9 * np.sqrt((1 - s**2) / s**2) / np.sqrt(D - 1)
    error = np.abs(quantizer.scores(q, quantizer.encode(x)) - q @ x.T)
    assert (error <= bound[None] * np.linalg.norm(query, axis=1)[:, None]).mean() >= 0.93


def test_error_falls_with_bits() -> None:
    x = clustered(500)
    errors = []
    for bits in (1, 2, 4, 8):
        quantizer = opening.make("rabitq", {"bits": bits}, D)
        quantizer.fit(x)
        errors.append(float(((quantizer.decode(quantizer.encode(x)) - x) ** 2).mean()))
    assert errors == sorted(errors, reverse=True) and errors[3] < errors[0] / 100


def test_rotation_pays_on_axis_aligned_data() -> None:
    rng = np.random.default_rng(0)
    dim = 128
    spectrum = np.arange(1, dim + 1) ** -0.8
    x = (rng.standard_normal((3000, dim)) * spectrum).astype(np.float32)
    q = (rng.standard_normal((50, dim)) * spectrum).astype(np.float32)
    exact = np.argsort(-(q @ x.T), axis=1)[:, :10]
    recall = {}
    for rotation in ("none", "auto"):
        quantizer = opening.make("rabitq", {"rotation": rotation}, dim)
        quantizer.fit(x)
        _, rows = quantizer.search(q, quantizer.encode(x), 10)
        recall[rotation] = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, rows, strict=True)])
    assert recall["auto"] > recall["none"] + 0.1


def test_eight_query_bits_change_little_and_two_change_much() -> None:
    x, q = clustered(1000), clustered(20, seed=7)
    exact = opening.make("rabitq", {"query_bits": 0}, D)
    exact.fit(x)
    codes = exact.encode(x)
    full = exact.scores(q, codes)
    errors = {}
    for bits in (8, 2):
        quantizer = opening.make("rabitq", {"query_bits": bits}, D)
        quantizer.fit(x)
        scores, rows = quantizer.search(q, codes, 1000)
        errors[bits] = np.abs(scores - np.take_along_axis(full, rows, 1)).mean() / full.std()
    assert errors[8] < 0.02 < errors[2]


@pytest.mark.parametrize(("query_bits", "most"), [(8, 48 << 20), (0, 64 << 20)])
def test_a_search_around_a_centre_near_0_unpacks_few_rows_at_a_time(query_bits: int, most: int) -> None:
    few = np.random.default_rng(0).standard_normal((1000, 768)).astype(np.float32)
    quantizer = opening.make("rabitq", {"rotation": "none", "query_bits": query_bits}, 768)
    quantizer.fit(few - few.mean(axis=0))
    codes_of_few = quantizer.encode(few)
    codes = np.tile(codes_of_few, (40, 1))
    assert 0 < np.linalg.norm(quantizer.center_D) < 1e-5
    tracemalloc.start()
    try:
        scores, _ = quantizer.search(few[:2], codes, 3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most  # all 40,000 rows as float64 are 234 MiB
    best, _ = quantizer.search(few[:2], codes_of_few, 1)
    assert (scores == best).all()  # the copies of one row, wherever they lie
    factors = np.ascontiguousarray(codes[:, 96:]).view("<f4")
    expected = np.tile(quantizer._constant(codes_of_few, factors[:1000]), 40)
    np.testing.assert_allclose(quantizer._constant(codes, factors), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["rabitq", "saq"])
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_scores_of_a_large_block_take_little_beside_themselves(method: str, metric: str) -> None:
    x = clustered(1000)
    quantizer = opening.make(method, {"bits": 4}, D, metric)
    quantizer.fit(x)
    few = quantizer.encode(x)
    codes, score = np.tile(few, (16, 1)), quantizer.scorer(x[:256])
    tracemalloc.start()
    try:
        scores = score(codes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < scores.nbytes + (16 << 20), peak  # 16 MB of scores; of all rows 32 MB more are one float64 array
    assert (scores == np.tile(score(few), (1, 16))).all()
