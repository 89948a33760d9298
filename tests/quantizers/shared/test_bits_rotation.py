"""Packing of small integers, rotations, and block products, against hand-made and independent answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import hadamard

from irctl.errors import ConfigError
from irctl.quantizers.shared import bit_packing, blocks, rotations


def test_four_bits_put_the_first_value_in_the_low_nibble() -> None:
    assert bit_packing.pack(np.array([[1, 2, 15]]), 4).tolist() == [[0x21, 0x0F]]


def test_five_bits_make_a_little_endian_stream() -> None:
    # 00001, 00010 -> the stream's bits, low first: 10000 01000 -> bytes 0b01000001, 0b00000000
    assert bit_packing.pack(np.array([[1, 2]]), 5).tolist() == [[0b01000001, 0]]


@pytest.mark.parametrize("count", (7, 24))
@pytest.mark.parametrize("bits", range(1, 17))
def test_every_width_unpacks_to_what_was_packed(bits: int, count: int) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, (5000, count))
    codes = bit_packing.pack(values, bits)
    assert (
        codes.shape == (5000, bit_packing.count_bytes(count, bits))
        and (bit_packing.unpack(codes, count, bits) == values).all()
    )


@pytest.mark.parametrize("bits", (4, 5, 8, 12))
def test_the_layout_is_that_of_faiss(bits: int) -> None:
    import faiss

    values = np.random.default_rng(0).integers(0, 2**bits, (20, 6))
    packed = faiss.pack_bitstrings(values.astype(np.int32), bits)
    assert (packed == bit_packing.pack(values, bits)).all()


def test_hadamard_is_three_rounds_of_signs_and_the_textbook_matrix() -> None:
    dim = 16
    arrays = rotations.make("hadamard", dim, 1)
    x = np.random.default_rng(0).standard_normal((5, dim)).astype(np.float32)
    expected = x.astype(np.float64)
    for signs in arrays["signs"]:
        expected = (expected * signs) @ hadamard(dim) / 4
    np.testing.assert_allclose(rotations.apply(arrays, x), expected, atol=1e-5)


@pytest.mark.parametrize(("kind", "dim"), [("dense", 24), ("hadamard", 64), ("auto", 48), ("auto", 32), ("none", 5)])
def test_rotations_keep_lengths_and_can_be_undone(kind: str, dim: int) -> None:
    arrays = rotations.make(kind, dim, 7)
    x = np.random.default_rng(0).standard_normal((700, dim)).astype(np.float32)
    y = rotations.apply(arrays, x)
    np.testing.assert_allclose(np.linalg.norm(y, axis=1), np.linalg.norm(x, axis=1), rtol=1e-5)
    np.testing.assert_allclose(rotations.undo(arrays, y), x, atol=1e-5)
    np.testing.assert_allclose(x @ rotations.matrix(arrays, dim).T, y, atol=1e-5)


@pytest.mark.parametrize("threads", ("1", "2"))
@pytest.mark.parametrize(("kind", "dim"), [("dense", 24), ("hadamard", 64), ("none", 5)])
def test_rotating_by_block_gives_the_bytes_of_rotating_all(
    kind: str, dim: int, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    arrays = rotations.make(kind, dim, 7)
    x = np.random.default_rng(0).standard_normal((1700, dim)).astype(np.float32)
    found = np.empty_like(x)

    def keep(block: np.ndarray, rows: slice) -> None:
        assert len(block) == blocks.BLOCK
        found[rows] = block[: rows.stop - rows.start]

    rotations.apply_by_block(arrays, x, keep)
    assert (found == rotations.apply(arrays, x)).all()


def test_auto_takes_hadamard_only_where_it_needs_no_padding() -> None:
    assert [rotations.resolve("auto", d) for d in (256, 384, 768, 1024)] == ["hadamard", "dense", "dense", "hadamard"]
    with pytest.raises(ConfigError, match="power of two"):
        rotations.resolve("hadamard", 384)


@pytest.mark.parametrize("rows", (0, 1, 499, 500, 501, 1700))
def test_block_products_do_not_depend_on_the_batch(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, matrix = rng.standard_normal((rows, 96), dtype=np.float32), rng.standard_normal((96, 40), dtype=np.float32)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    whole = blocks.multiply(x, matrix)
    np.testing.assert_allclose(whole, x @ matrix, atol=1e-4)
    parts = [blocks.multiply(x[a : a + 1000], matrix) for a in range(0, rows, 1000)]
    assert not rows or (np.concatenate(parts) == whole).all()
