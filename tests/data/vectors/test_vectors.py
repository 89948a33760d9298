"""Streams of vectors: every source gives the same rows, and wrong rows are named with their file."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from vector_files import CUT, IDS, D, N, X, as_lists, parquet

from irctl import hashing
from irctl.data.vectors.ids import ArrowIds
from irctl.data.vectors.open import open_vectors
from irctl.errors import DataError
from irctl.types import Stream


def make(kind: str, folder: Path) -> tuple[str, bool]:
    """(a source that holds X, whether it has ids)."""
    folder.mkdir(exist_ok=True)
    if kind == "npy":
        np.save(folder / "x.npy", X)
        return str(folder / "x.npy"), False
    if kind == "parquet":
        return str(parquet(folder / "x.parquet", X, IDS)), True
    if kind == "npy folder":
        np.save(folder / "a.npy", X[:CUT])
        np.save(folder / "b.npy", X[CUT:])
        (folder / "ids.txt").write_text("\n".join(IDS))
        return str(folder), True
    if kind == "parquet folder":
        parquet(folder / "a.parquet", X[:CUT], IDS[:CUT], "fixed")
        parquet(folder / "b.parquet", X[CUT:], IDS[CUT:], "large", "float64")
        return str(folder), True
    (folder / "vectors").mkdir()
    (folder / "ids").mkdir()
    parts = []
    for number, rows in enumerate((slice(0, CUT), slice(CUT, N))):
        np.save(folder / f"vectors/part-{number:05d}.npy", X[rows])
        with pa.ipc.new_file(folder / f"ids/part-{number:05d}.arrow", pa.schema([("docid", pa.string())])) as writer:
            writer.write_table(pa.table({"docid": IDS[rows]}))
        names = {"file": f"vectors/part-{number:05d}.npy", "ids": f"ids/part-{number:05d}.arrow"}
        parts.append(names | {"rows": len(X[rows]), "sha256": hashing.compute_sha256(folder / names["file"])})
    manifest = {"format": "irctl-embeddings", "version": 1, "rows": N, "dim": D, "similarity": "dot", "parts": parts}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return str(folder), True


KINDS = ("npy", "parquet", "npy folder", "parquet folder", "embeddings")


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    source, has_ids = make(kind, tmp_path / "v")
    stream: Stream = open_vectors(source)
    assert (stream.rows, stream.dim) == (N, D)
    for size in (1, 700, 999, N, 10 * N):
        if size == 1 and kind != "npy":
            continue
        blocks = list(stream.blocks(size))
        assert [b.start for b in blocks] == list(range(0, N, size))
        assert all(len(b.vectors_ND) == size for b in blocks[:-1])
        assert all(b.vectors_ND.dtype == np.float32 and b.vectors_ND.flags.c_contiguous for b in blocks)
        np.testing.assert_array_equal(np.concatenate([b.vectors_ND for b in blocks]), X)
        if has_ids:
            assert [i for b in blocks for i in b.ids or ()] == IDS
        else:
            assert all(b.ids is None for b in blocks)


@pytest.mark.parametrize("kind", KINDS)
def test_any_stretch_and_any_rows_can_be_read_alone(tmp_path: Path, kind: str) -> None:
    source, has_ids = make(kind, tmp_path / "v")
    stream = open_vectors(source)
    for start, stop in ((0, 0), (CUT - 3, CUT + 3), (699, 701), (N - 1, N), (N, N + 5), (1400, None)):
        blocks = list(stream.blocks(500, start, stop))
        found = np.concatenate([b.vectors_ND for b in blocks]) if blocks else X[:0]
        np.testing.assert_array_equal(found, X[start:stop])
        if has_ids:
            assert [i for b in blocks for i in b.ids or ()] == IDS[start:stop]
    rows = np.array([N - 1, 0, CUT, CUT - 1, 699, 700, 0])
    np.testing.assert_array_equal(stream.take(rows), X[rows])
    assert stream.take(np.zeros(0, np.int64)).shape == (0, D)
    with pytest.raises(DataError, match=f"rows 0 to {N - 1}"):
        stream.take(np.array([N]))
    groups = stream.groups()  # only parquet is read from the beginning of something
    assert bool(groups) == ("parquet" in kind)
    assert not groups or ((groups[0][0], groups[-1][1]) == (0, N) and all(a[1] == b[0] for a, b in pairwise(groups)))
    assert sum(rows for _, rows in stream.files) == N


def test_the_fingerprint_follows_content(tmp_path: Path) -> None:
    first = open_vectors(make("npy", tmp_path / "a")[0]).fingerprint
    assert open_vectors(make("npy", tmp_path / "b")[0]).fingerprint == first
    np.save(tmp_path / "b/x.npy", X + 1)
    assert open_vectors(tmp_path / "b/x.npy").fingerprint != first


def test_float16_files_come_as_float32(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X.astype(np.float16))
    parquet(tmp_path / "x.parquet", X, None, "list", "float16")
    for name in ("x.npy", "x.parquet"):
        (block,) = open_vectors(tmp_path / name).blocks(N)
        assert block.vectors_ND.dtype == np.float32
        np.testing.assert_array_equal(block.vectors_ND, X.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["npy folder", "parquet folder"])
def test_a_value_that_is_not_finite_is_named_with_file_and_row(tmp_path: Path, kind: str, value: float) -> None:
    source, _ = make(kind, tmp_path / "v")
    bad = X[CUT:].copy()
    bad[905, 2] = value
    suffix = "npy" if kind == "npy folder" else "parquet"
    if suffix == "npy":
        np.save(Path(source) / "b.npy", bad)
    else:
        parquet(Path(source) / "b.parquet", bad, IDS[CUT:])
    stream = open_vectors(source)
    with pytest.raises(DataError, match=rf"b.{suffix}: row 905: expected finite numbers"):
        list(stream.blocks(1000))
    with pytest.raises(DataError, match=rf"b.{suffix}: row 905"):
        stream.take(np.array([3, CUT + 905]))
    assert len(list(stream.blocks(500, 0, CUT))) == 3


def test_large_finite_values_are_no_false_alarm(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((4, 2), 3e38, np.float32))
    assert len(list(open_vectors(tmp_path / "x.npy").blocks(4))) == 1


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([[1.0, 2.0], None, [3.0, 4.0]], "row 1: expected 2 numbers in column emb, found null"),
        ([[1.0, 2.0], [3.0, 4.0], [5.0]], "row 2: expected 2 numbers in column emb, found 1 numbers"),
        ([[1.0, 2.0], [3.0, None]], "row 1: expected 2 numbers in column emb, found null at dimension 1"),
    ],
)
def test_null_and_ragged_rows_are_refused(tmp_path: Path, rows: list[Any], found: str) -> None:
    pq.write_table(pa.table({"emb": pa.array(rows, pa.list_(pa.float32()))}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=found):
        list(open_vectors(tmp_path / "x.parquet").blocks(10))


def test_a_parquet_file_is_never_in_memory_whole_and_reading_stops_at_the_last_row_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).standard_normal((24_000, 128), np.float32)  # 12 MB
    for name, rows in (("small groups", 1000), ("one group", len(x))):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"emb": as_lists(x, "list")}), path, row_group_size=rows, compression="none")
        before, stream = pa.total_allocated_bytes(), open_vectors(path)
        held = [pa.total_allocated_bytes() - before for _ in stream.blocks(500)]
        assert len(held) == 48 and max(held) < 6 << 20, name
        np.testing.assert_array_equal(stream.take(np.array([1500, 7])), x[[1500, 7]])
    opened = open_vectors(path)
    batches = opened.parts[0]._file.iter_batches  # type: ignore[attr-defined]
    counted: list[int] = []

    def counting(*args: Any, **named: Any) -> Any:
        for batch in batches(*args, **named):
            counted.append(len(batch))
            yield batch

    monkeypatch.setattr(opened.parts[0]._file, "iter_batches", counting)  # type: ignore[attr-defined]
    opened.take(np.array([1500, 7]))
    assert sum(counted) == 2000


def test_a_slice_of_a_list_column_is_read_at_its_offset(tmp_path: Path) -> None:
    stream = open_vectors(parquet(tmp_path / "x.parquet", X, IDS))
    (block,) = stream.blocks(50, 1333, 1383)  # inside a row group and inside a read batch
    np.testing.assert_array_equal(block.vectors_ND, X[1333:1383])


def test_a_file_with_two_vector_columns_needs_a_name(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", X, IDS, other=as_lists(-X, "list"))
    with pytest.raises(
        DataError, match=r"expected one column of lists of floats or 8-bit integers, found .*emb.*other"
    ) as e:
        open_vectors(path)
    assert "#other" in e.value.hint
    (block,) = open_vectors(f"{path}#other,title").blocks(N)
    np.testing.assert_array_equal(block.vectors_ND, -X)
    assert block.ids is not None and block.ids[0] == "t"
    with pytest.raises(DataError, match="no column nope"):
        open_vectors(f"{path}#emb,nope")
    with pytest.raises(DataError, match="expected nope, found"):
        open_vectors(f"{path}#nope")
    keys = {open_vectors(f"{path}#{columns}").fingerprint for columns in ("emb", "other", "other,title")}
    assert len(keys) == 3  # codes of one column are never taken for those of another


def test_ids_may_lie_beside_parquet_files_and_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", X[:CUT], None)
    parquet(tmp_path / "b.parquet", X[CUT:], None, "large")
    plain = open_vectors(tmp_path)
    assert plain.document_ids() is None and plain.id_bytes() == 0
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    named = open_vectors(tmp_path)
    assert [i for b in named.blocks(999) for i in b.ids or ()] == IDS
    known = named.document_ids()
    assert (
        known is not None and list(known) == IDS and (known[0], known[CUT], known[N - 1]) == (IDS[0], IDS[CUT], IDS[-1])
    )
    (tmp_path / "ids.txt").write_text("\n".join(reversed(IDS)))
    assert len({plain.fingerprint, named.fingerprint, open_vectors(tmp_path).fingerprint}) == 3


def test_ids_in_two_places_are_refused(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", X, IDS)
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    with pytest.raises(DataError, match=r"in its column docid and in .*ids\.txt"):
        open_vectors(tmp_path)
    np.save(tmp_path / "a.npy", X)
    with pytest.raises(DataError, match=r"files of one kind, found a\.npy and a\.parquet"):
        open_vectors(tmp_path)


def test_a_row_without_an_id_is_named(tmp_path: Path) -> None:
    names = [*IDS[:1500], None, *IDS[1501:]]
    path = parquet(tmp_path / "a.parquet", X, names)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="row 1500: expected an id in column docid, found null"):
        list(open_vectors(path).blocks(600))


def test_ids_of_a_column_are_read_by_row_without_the_vectors(tmp_path: Path) -> None:
    known = open_vectors(parquet(tmp_path / "a.parquet", X, IDS)).document_ids()
    assert known is not None and [known[i] for i in (2499, 0, 700, 699)] == [IDS[i] for i in (2499, 0, 700, 699)]
    assert list(known) == IDS and len(known) == N


def test_no_read_of_a_parquet_file_starts_arrows_thread_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file keeps the setting of the last read: ids read with threads made the vectors be decoded by the pool, whose
    CPU seconds were taken for the encoder's."""
    asked: list[object] = []
    for name in ("iter_batches", "read_row_group"):
        plain = getattr(pq.ParquetFile, name)

        def watched(*args: Any, plain: Any = plain, **options: Any) -> Any:
            asked.append(options.get("use_threads", True))
            return plain(*args, **options)

        monkeypatch.setattr(pq.ParquetFile, name, watched)
    table = pa.table({"docid": ["a", "b", "c"], "emb": np.eye(3, dtype=np.float32).tolist()})
    pq.write_table(table, tmp_path / "v.parquet")
    stream = open_vectors(str(tmp_path / "v.parquet"))
    assert [b.ids for b in stream.blocks(2)] == [["a", "b"], ["c"]]
    assert list(stream.document_ids() or ()) == ["a", "b", "c"] and stream.take(np.array([2])).tolist() == [[0, 0, 1]]
    assert len(asked) >= 3 and not any(asked)


def test_files_of_different_width_and_ids_of_another_count_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    np.save(tmp_path / "b.npy", X[:, :3])
    with pytest.raises(DataError, match=r"b.npy: expected width 6, .* found 3"):
        open_vectors(tmp_path)
    np.save(tmp_path / "b.npy", X)
    (tmp_path / "ids.txt").write_text("one\ntwo\n")
    with pytest.raises(DataError, match=f"2 ids for {2 * N} rows"):
        open_vectors(tmp_path)


def test_an_embedding_shard_that_does_not_fit_its_manifest_is_refused(tmp_path: Path) -> None:
    source, _ = make("embeddings", tmp_path / "v")
    assert open_vectors(source).about["similarity"] == "dot"
    np.save(Path(source) / "vectors/part-00001.npy", X[:5])
    with pytest.raises(DataError, match=r"part-00001.npy: expected .* found .*Encode again"):
        open_vectors(source)


def test_a_missing_source_and_an_empty_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder of vectors"):
        open_vectors(tmp_path / "nope")
    with pytest.raises(DataError, match=r"neither manifest.json"):
        open_vectors(tmp_path)
    with pytest.raises(DataError, match=r"expected .npy or .parquet, found .txt"):
        (tmp_path / "x.txt").write_text("1")
        open_vectors(tmp_path / "x.txt")


def test_a_file_of_ids_is_checked_before_the_first_and_not_before_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run file of a million lines once took a million looks at the same file."""
    checked: list[tuple[Path, str]] = []
    monkeypatch.setattr("irctl.ledger.stored.check", lambda *given: checked.append(given))
    path = tmp_path / "ids.arrow"
    table = pa.table({"docid": ["a", "b", "c"]})
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)
    ids = ArrowIds(path, "0" * 64)
    assert not checked
    assert [ids.span(i, i + 1) for i in range(3)] == [["a"], ["b"], ["c"]] and checked == [(path, "0" * 64)]
