"""Every file of irctl/quantizers keeps these promises."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irctl import plugins
from irctl.errors import DataError
from irctl.quantizers.shared import opening

D, N = 64, 1500
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "flat": [{"dtype": "float16"}, {"dtype": "float32"}],
    "sq": [{"bits": 4}, {"bits": 6}, {"bits": 8}, {"bits": 16}, {"clip_quantile": 0.01}],
    "pq": [{"m": 8, "bits": 4, "iterations": 4}, {"m": 16, "bits": 5, "iterations": 4}],
    "opq": [{"m": 8, "bits": 4, "iterations": 2}, {"m": 8, "bits": 4, "dim": 32, "iterations": 2}],
    "learned": [{"m": 8, "bits": 4}, {"m": 16, "bits": 3}],
    "rabitq": [
        {"bits": 1, "query_bits": 0},
        {"bits": 1},
        {"bits": 4},
        {"rotation": "dense", "query_bits": 0},
        {"rotation": "none", "bits": 2},
    ],
    "binary": [{}, {"threshold": "median"}, {"threshold": "median", "rotate": True}, {"query": "binary"}],
    "truncation": [
        {"n": 40},
        {"bytes": 80, "dtype": "float16", "renorm": False},
        {"n": 32, "dtype": "float32"},
    ],
    "saq": [{"bits": 1.0}, {"bits": 2.0}, {"bits": 4.0, "rounds": 2}],
    "faiss": [
        {"factory": "PQ8x4np"},
        {"factory": "SQ8"},
        {"factory": "IVF4,SQfp16"},
        {"factory": "PCA32,SQfp16"},
        {"factory": "SQbf16"},
        {"factory": "MinMaxFP16,SQ8"},
    ],
}
CASES = [(name, settings) for name in plugins.names("quantizers") for settings in VARIANTS.get(name, [{}])]
METRICS = ("ip", "l2", "cosine")

each = pytest.mark.parametrize(("name", "settings"), CASES, ids=[f"{n}-{i}" for i, (n, _) in enumerate(CASES)])


def data(n: int = N, dim: int = D, seed: int = 0) -> np.ndarray:
    """Clustered rows with a decaying spectrum."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((20, dim))
    rows = centres[rng.integers(0, 20, n)] + rng.standard_normal((n, dim))
    return (rows * np.arange(1, dim + 1) ** -0.5).astype(np.float32)


def fitted(name: str, settings: dict[str, Any], metric: str = "ip") -> Any:
    quantizer = opening.make(name, settings, D, metric, 42)
    quantizer.fit(data())
    return quantizer


@cache
def _once(name: str, case: int, metric: str) -> Any:
    return fitted(name, VARIANTS.get(name, [{}])[case], metric)


def trained(name: str, settings: dict[str, Any], metric: str = "ip") -> Any:
    """The same as `fitted`, trained once for all tests: a trained quantizer is frozen."""
    return _once(name, VARIANTS.get(name, [{}]).index(settings), metric)


@each
@pytest.mark.parametrize("metric", METRICS)
def test_codes_are_contiguous_bytes_of_the_promised_width(name: str, settings: dict[str, Any], metric: str) -> None:
    quantizer = trained(name, settings, metric)
    codes = quantizer.encode(data())
    assert codes.dtype == np.uint8 and codes.shape == (N, quantizer.code_size) and codes.flags.c_contiguous
    decoded = quantizer.decode(codes)
    assert decoded.dtype == np.float32 and decoded.shape == (N, D) and np.isfinite(decoded).all()


@each
def test_same_seed_same_codes(name: str, settings: dict[str, Any]) -> None:
    assert (fitted(name, settings).encode(data()) == fitted(name, settings).encode(data())).all()


@each
def test_one_shot_and_streamed_bytes_are_equal_whatever_the_threads(
    name: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    quantizer, x = trained(name, settings), data(2600, seed=3)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    whole = quantizer.encode(x)
    for batch, threads in ((500, "2"), (1000, "3"), (2500, "1")):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        parts = [quantizer.encode(x[a : a + batch]) for a in range(0, len(x), batch)]
        assert (np.concatenate(parts) == whole).all(), batch


@each
@pytest.mark.parametrize("metric", METRICS)
def test_a_saved_quantizer_gives_the_same_codes_and_scores(
    name: str, settings: dict[str, Any], metric: str, tmp_path: Path
) -> None:
    quantizer, x = trained(name, settings, metric), data(600, seed=5)
    quantizer.save(tmp_path / "q")
    assert all(f.suffix in (".npy", ".json") for f in (tmp_path / "q").iterdir())
    again = opening.load(tmp_path / "q")
    codes = quantizer.encode(x)
    assert (again.encode(x) == codes).all()
    assert (again.decode(codes) == quantizer.decode(codes)).all()
    assert (again.scores(x[:5], codes) == quantizer.scores(x[:5], codes)).all()
    assert (again.code_size, again.dim, again.metric) == (quantizer.code_size, D, metric)


@each
def test_a_damaged_folder_is_refused(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    quantizer = trained(name, settings)
    quantizer.save(tmp_path / "q")
    arrays = sorted((tmp_path / "q").glob("*.npy"))
    if arrays:
        arrays[0].write_bytes(arrays[0].read_bytes()[:-1])
        with pytest.raises(DataError, match=arrays[0].name):
            opening.load(tmp_path / "q")
    (tmp_path / "q" / "quantizer.json").unlink()
    with pytest.raises(DataError):
        opening.load(tmp_path / "q")


@each
def test_values_outside_the_training_range_are_clamped_not_wrapped(name: str, settings: dict[str, Any]) -> None:
    quantizer, x = trained(name, settings), data(200, seed=7)
    far = quantizer.decode(quantizer.encode(x * 50))
    assert np.isfinite(far).all()
    assert (np.einsum("nd,nd->n", far, x) > 0).mean() > 0.95  # a wrapped value points elsewhere


@each
@pytest.mark.parametrize("metric", METRICS)
def test_a_value_too_large_for_a_code_is_clamped_and_said_never_infinite(
    name: str, settings: dict[str, Any], metric: str
) -> None:
    # SQfp16 once stored infinities with exit 0
    x = data(600, seed=8)
    x[300, 5], x[301, 6], x[302, :] = -1e15, 7e4, 3e5
    for rows_seen in (x, data()):
        quantizer = opening.make(name, settings, D, metric, 42)
        quantizer.fit(rows_seen)
        codes = quantizer.encode(x)
        assert np.isfinite(quantizer.decode(codes)).all() and np.isfinite(quantizer.scores(x[:3], codes)).all()
        assert np.isfinite(quantizer.search(x[:3], codes, 20)[0]).all()
        factories = ("IVF4,SQfp16", "PCA32,SQfp16", "MinMaxFP16,SQ8")
        half = settings in ({"dtype": "float16"}, {"bits": 16}, *({"factory": f} for f in factories))
        if half and rows_seen is not x:  # else an IVF list may lie at the very row
            said = [line for line in quantizer.warnings if "beyond 65504 are kept as 65504" in line]
            assert len(said) == (metric != "cosine")
    if metric == "ip" and half and name != "faiss":
        assert (quantizer.decode(quantizer.encode(x[302:303])) > 0).mean() > 0.9  # clamped, not wrapped


@each
def test_none_one_strided_and_other_float_types_are_encoded_alike(name: str, settings: dict[str, Any]) -> None:
    quantizer, x = trained(name, settings), data(1000, seed=9)
    codes = quantizer.encode(x[:500])
    empty = quantizer.encode(x[:0])
    assert empty.shape == (0, quantizer.code_size) and quantizer.decode(empty).shape == (0, D)
    assert quantizer.scores(x[:2], empty).shape == (2, 0)
    assert (quantizer.encode(x[:1]) == codes[:1]).all()
    assert (quantizer.encode(np.asfortranarray(x[:500])) == codes).all()
    assert (quantizer.encode(np.repeat(x, 2, axis=0)[::2][:500]) == codes).all()
    assert (quantizer.encode(x[:500].astype(np.float64)) == codes).all()
    half = x[:500].astype(np.float16)
    assert (quantizer.encode(half) == quantizer.encode(half.astype(np.float32))).all()


@each
def test_a_row_with_nan_is_named(name: str, settings: dict[str, Any]) -> None:
    for value in (np.nan, np.inf):
        x = data(20)
        x[7, 3] = value
        with pytest.raises(DataError, match="row 7"):
            trained(name, settings).encode(x)
        with pytest.raises(DataError, match="row 7"):
            opening.make(name, settings, D).fit(x)


@each
@pytest.mark.parametrize("metric", METRICS)
def test_zero_rows_and_rows_at_the_centre_have_finite_codes(name: str, settings: dict[str, Any], metric: str) -> None:
    quantizer = trained(name, settings, metric)
    mean = data().mean(axis=0, dtype=np.float64).astype(np.float32)
    x = np.stack([np.zeros(D, np.float32), mean, data()[0]])
    codes = quantizer.encode(x)
    assert np.isfinite(quantizer.decode(codes)).all() and np.isfinite(quantizer.scores(x, codes)).all()


@each
@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_products_with_the_decoded_row_for_l2_up_to_one_constant_a_row(
    name: str, settings: dict[str, Any], metric: str
) -> None:
    quantizer, x = trained(name, settings, metric), data(300, seed=11)
    queries = data(6, seed=12)
    codes = quantizer.encode(x)
    decoded = quantizer.decode(codes).astype(np.float64)
    q = np.where(queries >= 0, 1.0, -1.0) if settings.get("query") == "binary" else queries.astype(np.float64)
    if metric == "cosine" and settings.get("query") != "binary":
        q /= np.linalg.norm(q, axis=1, keepdims=True)
    expected = q @ decoded.T
    if metric == "l2":
        expected = -((q[:, None] - decoded[None]) ** 2).sum(2)
    difference = quantizer.scores(queries, codes) - expected
    if metric == "l2" and name in ("rabitq", "saq"):  # a query's nearest rows, not their distances, are estimated
        difference -= difference.mean(axis=0)
    assert np.abs(difference).max() < 1e-4 * max(1.0, np.abs(expected).max())


def off_centre(n: int, seed: int) -> np.ndarray:
    """Rows around a point far from 0, and of very different lengths: what a query's length must not matter to."""
    rng = np.random.default_rng(seed)
    return ((data(n, seed=seed) + 0.5) * np.exp(0.3 * rng.standard_normal((n, 1)))).astype(np.float32)


def ranked_alike(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], gap: float) -> None:
    """The same rows in the same order, except where scores lie within `gap` of their spread."""
    (scores, rows), (others, other_rows) = one, other
    spread = scores.std()
    for s, r, t, u in zip(scores, rows, others, other_rows, strict=True):
        at = dict(zip(r, s, strict=True))
        moved = [abs(at.get(row, s[-1]) - s[place]) for place, row in enumerate(u) if row != r[place]]
        assert max(moved, default=0) <= gap * spread, (r, u)
        np.testing.assert_allclose(t, s, atol=gap * spread)


@each
def test_a_longer_or_shorter_query_finds_the_same_rows_by_inner_product(name: str, settings: dict[str, Any]) -> None:
    # RaBitQ once took another ranking, as faiss does: recall@10 fell from .94 to .18 for queries of a hundredth
    quantizer = opening.make(name, settings, D, "ip", 42)
    quantizer.fit(off_centre(N, 21))
    codes = quantizer.encode(off_centre(1000, 22))
    queries = np.concatenate([off_centre(6, 23), -off_centre(3, 24), data(3, seed=25)])  # towards the centre, away, by
    fast = [quantizer.search_fast] if settings.get("bits", 4) == 4 and hasattr(quantizer, "search_fast") else []
    signs = settings.get("query") == "binary"  # scores of those do not grow with the query
    for find in (quantizer.search, *fast):
        scores, rows = find(queries, codes, 50)
        for power in (2.0**-7, 2.0**10):  # exact in floats, so nothing may change at all
            found = find(queries * np.float32(power), codes, 50)
            assert (found[1] == rows).all() and (found[0] == scores * np.float32(1 if signs else power)).all()
        for factor in (0.01, 100.0):
            found = find(queries * np.float32(factor), codes, 50)
            gap = 0.03 if name == "rabitq" else 1e-4  # the rounding of a query may turn over
            ranked_alike((scores, rows), (found[0] / np.float32(1 if signs else factor), found[1]), gap)


@each
def test_the_ranking_by_inner_product_is_that_of_the_decoded_rows(name: str, settings: dict[str, Any]) -> None:
    quantizer = opening.make(name, settings, D, "ip", 42)
    quantizer.fit(off_centre(N, 31))
    codes = quantizer.encode(off_centre(1000, 32))
    queries = np.concatenate([off_centre(6, 33), -off_centre(3, 34), data(3, seed=35)]) * np.float32(0.01)
    q = np.where(queries >= 0, 1.0, -1.0) if settings.get("query") == "binary" else queries.astype(np.float64)
    products = q @ quantizer.decode(codes).astype(np.float64).T
    order = np.argsort(-products, axis=1, kind="stable")[:, :50]
    expected = np.take_along_axis(products, order, 1)
    bits = settings.get("query_bits", 8) if settings.get("bits", 1) == 1 else 0
    found = quantizer.search(queries, codes, 50)
    ranked_alike((expected, order), found, 0.1 if name == "rabitq" and bits else 1e-4)  # its query is rounded


@each
@pytest.mark.parametrize("metric", METRICS)
def test_search_is_the_sorted_scores_with_ties_by_row(name: str, settings: dict[str, Any], metric: str) -> None:
    quantizer, x, queries = trained(name, settings, metric), data(400, seed=13), data(5, seed=14)
    x = np.concatenate([x, x, x[:100]])  # every row at least twice
    codes = quantizer.encode(x)
    scores, rows = quantizer.search(queries, codes, 30)
    assert scores.shape == rows.shape == (5, 30)
    everything = quantizer.scores(queries, codes)
    near = {"rtol": 1e-4, "atol": 1e-4}
    if name == "rabitq" and settings == {"bits": 1}:  # its queries are rounded
        near = {"rtol": 0, "atol": 0.03 * everything.std()}
    np.testing.assert_allclose(scores, np.sort(everything, axis=1)[:, ::-1][:, :30], **near)
    np.testing.assert_allclose(scores, np.take_along_axis(everything, rows, 1), **near)
    for s, r in zip(scores, rows, strict=True):
        assert list(zip(-s, r, strict=True)) == sorted(zip(-s, r, strict=True))
        for row in r:
            twins = np.flatnonzero((codes == codes[row]).all(axis=1))
            earlier = twins[twins < row]
            assert set(earlier) <= set(r)  # an equal row with a lower number is never left out


@each
def test_blocks_of_any_size_and_lone_queries_find_the_same(name: str, settings: dict[str, Any]) -> None:
    from irctl.index.topk import merge

    quantizer, x, queries = trained(name, settings), data(1200, seed=15), data(4, seed=16)
    codes = quantizer.encode(np.concatenate([x, x[:300]]))
    scores, rows = quantizer.search(queries, codes, 25)
    for block in (100, 777):
        parts = []
        for start in range(0, len(codes), block):
            s, r = quantizer.search(queries, codes[start : start + block], 25)
            parts.append((s, r + start))
        found = merge(parts, 25)
        assert (found[1] == rows).all() and (found[0] == scores).all()
    lone = quantizer.search(queries[2:3], codes, 25)
    assert (lone[1][0] == rows[2]).all()


@each
def test_more_results_than_rows_gives_every_row_once(name: str, settings: dict[str, Any]) -> None:
    quantizer = trained(name, settings)
    codes = quantizer.encode(data(7, seed=17))
    scores, rows = quantizer.search(data(2, seed=18), codes, 100)
    assert scores.shape == (2, 7) and all(sorted(r) == list(range(7)) for r in rows)
    scores, rows = quantizer.search(data(2, seed=18), codes[:0], 5)
    assert scores.shape == rows.shape == (2, 0)


@each
def test_codes_and_rows_of_another_width_are_refused(name: str, settings: dict[str, Any]) -> None:
    quantizer = trained(name, settings)
    codes = quantizer.encode(data(4))
    with pytest.raises(DataError, match="codes: expected"):
        quantizer.search(data(1), codes[:, :-1], 2)
    with pytest.raises(DataError, match=f"expected shape \\(rows, {D}\\)"):
        quantizer.encode(data(3)[:, :-1])


@pytest.mark.parametrize("name", plugins.names("quantizers"))
def test_settings_can_be_read_without_running_the_file(name: str) -> None:
    compiled = plugins.config_class("quantizers", name)
    assert compiled is not None
    compiled()
