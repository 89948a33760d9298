"""Quantizers by factory string: faiss's own codes, whole-list IVF, and strings that cannot be."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from irctl.errors import ConfigError
from irctl.quantizers.shared import opening


def rows(n: int, dim: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


@pytest.mark.parametrize(
    ("factory", "code_size"),
    [("RQ2x4", 1), ("PRQ2x2x4", 2), ("SQtqmse4", 16), ("OPQ8,PQ8x4np", 4), ("IVF4,SQ8", 33), ("PCAR16,SQ8", 16)],
)
def test_codes_are_faiss_own_and_blocks_change_nothing(factory: str, code_size: int, tmp_path) -> None:  # type: ignore[no-untyped-def]
    x = rows(700)
    quantizer = opening.make("faiss", {"factory": factory}, 32)
    quantizer.fit(x)
    codes = quantizer.encode(x)
    assert codes.shape == (700, code_size)
    assert (np.concatenate([quantizer.encode(x[:500]), quantizer.encode(x[500:])]) == codes).all()
    np.testing.assert_array_equal(quantizer.decode(codes), quantizer.faiss_index().sa_decode(codes))
    quantizer.save(tmp_path)
    assert (opening.load(tmp_path).encode(x) == codes).all()


def test_ivf_lists_are_all_searched() -> None:
    x, q = rows(600), rows(5, seed=1)
    quantizer = opening.make("faiss", {"factory": "IVF8,Flat"}, 32)
    quantizer.fit(x)
    found = quantizer.search(q, quantizer.encode(x), 10)[1]
    exact = faiss.IndexFlatIP(32)
    exact.add(x)
    assert (found == exact.search(q, 10)[1]).all()


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("", "no factory string"),
        ("nonsense", "could not parse index string nonsense"),
        ("HNSW16", "no codes that stand alone"),
        ("PQ8x4fs", "no codes that stand alone"),
        ("RR,RaBitQ", "--method rabitq"),
        ("PQ7", "PQ7 at 32 dimensions"),
        ("IVF64,RaBitQ4", "rabitq.bits=4; it has no IVF lists"),
        ("PQ8x4fs", "pq.m=8 --set pq.bits=4, searched with search.fastscan=true"),
        ("OPQ8,PQ8x4fsr", "--method opq --set opq.m=8"),
        ("IVF8,PQ8x4fs", "Drop fs: IVF8,PQ8x4"),
        ("ITQ16,SQ8", "cannot undo ITQ"),
        ("PCAW16,SQ8", "cannot undo whitening"),
        ("IVF8,SQ8_direct", "Take IVF8,SQ8"),
    ],
)
def test_strings_that_cannot_be_say_why(factory: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as e:
        opening.make("faiss", {"factory": factory}, 32)
    assert "/project/" not in str(e.value)


@pytest.mark.parametrize(
    ("factory", "kept"), [("SQ8_direct", [0, 7, 255, 0]), ("SQ8_direct_signed", [-5, 7, 127, -128])]
)
def test_values_beyond_a_byte_are_clamped_and_said_never_wrapped(factory: str, kept: list[int]) -> None:
    # faiss made 44 of 300 and 251 of -5
    quantizer = opening.make("faiss", {"factory": factory}, 4)
    inside = np.array([[1, 2, 3, 4]] * 100, np.float32)
    quantizer.fit(inside)
    assert (quantizer.decode(quantizer.encode(inside)) == inside).all() and quantizer.warnings == []
    assert quantizer.decode(quantizer.encode([[-5, 7, 300, -1e6]])).tolist() == [kept]
    assert len(quantizer.warnings) == 1 and "are kept as" in quantizer.warnings[0]


def test_too_few_rows_are_refused_and_repeated_remarks_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=r"IVF64,SQ8 on 20 rows"):
        opening.make("faiss", {"factory": "IVF64,SQ8"}, 32).fit(rows(20))
    quantizer = opening.make("faiss", {"factory": "PQ8x4np"}, 32)
    quantizer.fit(rows(100))
    assert len(quantizer.warnings) == 1 and "clustering 100 points to 16 centroids" in quantizer.warnings[0]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("factory", "found"), [("OPQ4,SQ8", 300), ("OPQ4_320,IVF4,PQ4x4", 300), ("IVF256(OPQ4,PQ4x8),SQ8", 256)]
)
def test_too_few_rows_for_opq_in_a_string_are_refused_before_faiss_ends_the_process(factory: str, found: int) -> None:
    x = np.random.default_rng(0).standard_normal((300, 320), dtype=np.float32)
    with pytest.raises(ConfigError, match=rf"OPQ to 320 dimensions needs as many training rows, found {found}"):
        opening.make("faiss", {"factory": factory}, 320).fit(x)
    fewer = opening.make("faiss", {"factory": "OPQ4_64,SQ8"}, 320)
    fewer.fit(x)
    assert fewer.encode(x).shape == (300, 64)
