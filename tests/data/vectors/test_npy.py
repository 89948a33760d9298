"""Arrays as numpy saves them: every type that float32 holds, in either order, gives the rows that parquet gives."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from vector_files import IDS, D, N, X, parquet

from irctl.data.vectors import hub_files
from irctl.data.vectors import parquet as vectors_parquet
from irctl.data.vectors.npy import NpyPart
from irctl.data.vectors.open import open_vectors
from irctl.data.vectors.stream import VectorStream
from irctl.errors import DataError
from irctl.pipelines.search.query_vectors import read_queries

BYTES = np.random.default_rng(1).integers(-128, 128, (N, D)).astype(np.int8)

SAVED = {
    "float64": X.astype(np.float64),
    "float16": X.astype(np.float16),
    "big-endian": X.astype(">f4"),
    "big-endian float64": X.astype(">f8"),
    "Fortran order": np.asfortranarray(X),
    "Fortran order, big-endian float64": np.asfortranarray(X.astype(">f8")),
    "int8": BYTES,
    "uint8": BYTES.view(np.uint8),
    "int8 in Fortran order": np.asfortranarray(BYTES),
}


@pytest.mark.parametrize("kind", SAVED)
def test_an_array_of_any_type_is_read_like_its_values_in_float32(tmp_path: Path, kind: str) -> None:
    array = SAVED[kind]
    np.save(tmp_path / "x.npy", array)
    expected = np.ascontiguousarray(array, dtype=np.float32)
    stream = open_vectors(tmp_path / "x.npy")
    for size in (999, N):
        blocks = list(stream.blocks(size))
        assert all(b.vectors_ND.dtype == np.float32 and b.vectors_ND.flags.c_contiguous for b in blocks)
        np.testing.assert_array_equal(np.concatenate([b.vectors_ND for b in blocks]), expected)
    rows = np.array([N - 1, 0, 7, 7])
    np.testing.assert_array_equal(stream.take(rows), expected[rows])
    np.testing.assert_array_equal(read_queries(tmp_path / "x.npy", D), expected)
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    with_ids = list(open_vectors(tmp_path).blocks(999))
    assert [i for b in with_ids for i in b.ids or ()] == IDS
    np.testing.assert_array_equal(np.concatenate([b.vectors_ND for b in with_ids]), expected)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_parquet_lists_of_8_bit_integers_are_vectors_where_there_are_no_floats(tmp_path: Path, dtype: str) -> None:
    numbers = BYTES.view(dtype)
    for kind in ("list", "large", "fixed"):
        path = parquet(tmp_path / f"{kind}.parquet", numbers, IDS, kind, dtype)
        np.testing.assert_array_equal(next(open_vectors(path).blocks(N)).vectors_ND, numbers.astype(np.float32))
        part = vectors_parquet.ParquetPart(str(path), lambda path=path: path)  # type: ignore[misc]
        np.testing.assert_array_equal(VectorStream([part], "f").take(np.array([5, 1])), numbers[[5, 1]])


def test_a_mask_beside_floats_is_no_second_candidate(tmp_path: Path) -> None:
    from vector_files import as_lists

    path = parquet(tmp_path / "x.parquet", X, IDS, mask=as_lists(BYTES, "list", "int8"))
    np.testing.assert_array_equal(next(open_vectors(path).blocks(N)).vectors_ND, X)
    np.testing.assert_array_equal(next(open_vectors(f"{path}#mask").blocks(N)).vectors_ND, BYTES)


def test_a_fortran_ordered_file_stays_mapped_and_only_a_block_is_copied(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.asfortranarray(X))
    (piece_ND, _), *more = NpyPart(tmp_path / "x.npy").pieces(100, 1100)
    assert not more and isinstance(piece_ND, np.memmap) and not piece_ND.flags.owndata
    block = next(open_vectors(tmp_path / "x.npy").blocks(500, 100))
    assert block.vectors_ND.base is None and block.vectors_ND.nbytes == 500 * D * 4


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (X[0], r"float32 \(6,\)"),
        (X.reshape(-1, 2, 3), r"float32 \(2500, 2, 3\)"),
        (np.float32(3), r"float32 \(\)"),
        (X[:, :0], r"float32 \(2500, 0\)"),
        (X > 0, r"bool \(2500, 6\)$"),
        (X.astype(np.complex64), r"complex64 \(2500, 6\)$"),
        (X.astype(np.int64), r"int64 \(2500, 6\)\. Save it as float32: numpy\.save"),
        (X.astype(np.longdouble), r"float128 \(2500, 6\)\. Save it as float32"),
        (np.array([["a", "b"]]), r"<U1 \(1, 2\)$"),
        (np.zeros((3, 2), [("a", "f4")]), r"\[\('a', '<f4'\)\] \(3, 2\)$"),
        (np.array([[{"a": 1}]], dtype=object), r"object \(1, 1\)$"),  # pickled: never loaded
    ],
)
def test_arrays_that_are_no_vectors_are_refused_with_type_and_shape(
    tmp_path: Path, array: np.ndarray, found: str
) -> None:
    np.save(tmp_path / "x.npy", array)
    expected = r"x.npy: expected a 2-D array of float16, float32, float64, int8 or uint8, found " + found
    for read in (open_vectors, lambda path: read_queries(path, D)):
        with pytest.raises(DataError, match=expected) as e:
            read(tmp_path / "x.npy")
        assert "\n" not in str(e.value)
    buffer = io.BytesIO((tmp_path / "x.npy").read_bytes())
    with pytest.raises(DataError, match=expected):
        hub_files.RemoteNpyPart("x.npy", lambda: buffer)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x09\x00", b"\x93NUMPY\x01\x00\x04\x00abc\n"])
def test_a_file_that_is_no_array_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    said = r"(not a \.npy file of numbers \([^\n]*\)|expected a \.npy file of vectors, found (text|an empty file))$"
    with pytest.raises(DataError, match=rf"x\.npy: {said}"):
        open_vectors(tmp_path / "x.npy")


def test_a_number_that_float32_does_not_hold_is_refused_as_in_parquet(tmp_path: Path) -> None:
    big = X.astype(np.float64)
    big[905, 2] = 1e300
    np.save(tmp_path / "x.npy", big)
    np.save(tmp_path / "f.npy", np.asfortranarray(big))
    parquet(tmp_path / "x.parquet", big, IDS, "list", "float64")
    for name in ("x.npy", "f.npy", "x.parquet"):
        stream = open_vectors(tmp_path / name)
        for read in (lambda s: list(s.blocks(1000)), lambda s: s.take(np.array([905]))):
            with pytest.raises(DataError, match=rf"{name}: row 905: expected finite numbers that float32 holds"):
                read(stream)
    with pytest.raises(DataError, match=r"x\.npy: row 905: expected finite numbers"):
        read_queries(tmp_path / "x.npy", D)


def test_codes_are_not_taken_for_vectors(tmp_path: Path) -> None:
    """A bundle's parts and exported codes are bytes in rows too."""
    codes = BYTES.view(np.uint8)
    batch, merged, export = (
        tmp_path / "sq_compressed_batch_0000.npy",
        tmp_path / "codes/part-00000.npy",
        tmp_path / "e.npy",
    )
    merged.parent.mkdir()
    (tmp_path / "plan.json").write_text("{}")
    (tmp_path / "e.npy.quantizer").mkdir()
    for path in (batch, merged, export):
        np.save(path, codes)
        with pytest.raises(DataError, match=r"\.npy: expected vectors, found codes, uint8 \(2500, 6\)"):
            open_vectors(path)


def test_a_file_of_the_hub_is_read_in_any_type_and_not_in_fortran_order() -> None:
    def remote(array: np.ndarray) -> VectorStream:
        buffer = io.BytesIO()
        np.save(buffer, array)
        buffer.seek(0)
        return VectorStream([hub_files.RemoteNpyPart("r.npy", lambda: buffer)], "f")

    for kind in ("float64", "big-endian", "int8", "uint8"):
        expected = SAVED[kind].astype(np.float32)
        np.testing.assert_array_equal(next(remote(SAVED[kind]).blocks(N)).vectors_ND, expected)
    with pytest.raises(DataError, match=r"expected C order .* found Fortran order, float32 \(2500, 6\).*Download it"):
        remote(np.asfortranarray(X))
