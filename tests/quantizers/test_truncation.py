"""Truncation: the first dimensions and no others, at the bytes asked for; faiss as the independent implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from irctl.errors import ConfigError
from irctl.quantizers.shared import opening

D = 32


def rows(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)


def fitted(settings: dict[str, Any], metric: str = "ip") -> Any:
    quantizer = opening.make("truncation", settings, D, metric)
    quantizer.fit(rows(500))
    return quantizer


def test_floats_are_the_first_dimensions_themselves() -> None:
    quantizer, x = fitted({"n": 3, "dtype": "float32", "renorm": False}), rows(4, 1)
    codes = quantizer.encode(x)
    assert (codes.view("<f4") == x[:, :3]).all() and quantizer.code_size == 12
    assert (quantizer.decode(codes)[:, :3] == x[:, :3]).all() and not quantizer.decode(codes)[:, 3:].any()
    q = rows(2, 2)
    np.testing.assert_allclose(quantizer.scores(q, codes), q[:, :3] @ x[:, :3].T, rtol=1e-5)


def test_int8_is_sq_over_those_dimensions() -> None:
    quantizer, x = fitted({"n": 8, "renorm": False}), rows(50, 1)
    sq = opening.make("sq", {"bits": 8}, 8)
    sq.fit(rows(500)[:, :8])
    assert (quantizer.encode(x) == sq.encode(x[:, :8])).all()
    assert (quantizer.decode(quantizer.encode(x))[:, :8] == sq.decode(sq.encode(x[:, :8]))).all()


@pytest.mark.parametrize(
    ("settings", "kept", "size"),
    [
        ({}, 24, 24),
        ({"bytes": 12}, 12, 12),
        ({"dtype": "float16"}, 12, 24),
        ({"dtype": "float32"}, 6, 24),
        ({"bytes": 16, "dtype": "float16"}, 8, 16),
        ({"n": 10, "dtype": "float16"}, 10, 20),
    ],
    ids=str,
)
def test_bytes_are_those_asked_for(settings: dict[str, Any], kept: int, size: int) -> None:
    quantizer = fitted(settings)
    assert (quantizer.kept, quantizer.code_size) == (kept, size) and quantizer.encode(rows(2)).shape == (2, size)


def test_the_kept_part_is_as_long_as_the_whole_row_was() -> None:
    plain, long = (fitted({"n": 8, "dtype": "float32", "renorm": on}) for on in (False, True))
    x = rows(9, 1)
    x[3] = np.concatenate([[3, 4], np.zeros(D - 3), [12]])  # 5 of 13 kept
    x[4, :8] = 0
    decoded = long.decode(long.encode(x))
    assert decoded[3, :2].tolist() == [np.float32(3 * 13 / 5), np.float32(4 * 13 / 5)] and not decoded[4].any()
    kept = np.delete(np.arange(9), 4)
    np.testing.assert_allclose(np.linalg.norm(decoded[kept], axis=1), np.linalg.norm(x[kept], axis=1), rtol=1e-6)
    short = plain.decode(plain.encode(x))
    np.testing.assert_allclose(decoded[0] / decoded[0, 0], short[0] / short[0, 0], rtol=1e-5)


@pytest.mark.parametrize("metric", ("ip", "l2", "cosine"))
@pytest.mark.parametrize("dtype", ("int8", "float16", "float32"))
def test_the_faiss_file_takes_whole_queries(dtype: str, metric: str, tmp_path: Path) -> None:
    quantizer, x, q = fitted({"n": 8, "dtype": dtype}, metric), rows(200, 1), rows(5, 2)
    codes = quantizer.encode(x)
    outer: Any = quantizer.faiss_index()
    inner = faiss.downcast_index(outer.index)
    inner.add_sa_codes(codes)
    outer.ntotal = inner.ntotal
    faiss.write_index(outer, str(tmp_path / "f"))
    found, order = faiss.read_index(str(tmp_path / "f")).search(
        q / np.linalg.norm(q, axis=1, keepdims=True) if metric == "cosine" else q, 200
    )
    scores = np.take_along_axis(quantizer.scores(q, codes), order, 1)
    left = (q[:, 8:] ** 2).sum(axis=1, keepdims=True) if metric == "l2" else 0
    np.testing.assert_allclose((-found - left) if metric == "l2" else found, scores, rtol=1e-4, atol=1e-4)
    assert bool(quantizer.faiss_differs) == (metric == "l2")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 33}, "at most the 32 dimensions of the input, found 33"),
        ({"n": 8, "bytes": 8}, "n=8, truncation.bytes=8: expected one of them"),
        ({"bytes": 25, "dtype": "float16"}, "25 is no multiple of the 2 of a float16"),
        ({"n": -1}, "expected 0 or more, found -1 and 0"),
        ({"dtype": "int4"}, "expected int8, float16, float32, found 'int4'"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        opening.make("truncation", settings, D)
