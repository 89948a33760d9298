"""Synthetic vectors and those of the hub: the same rows in any block, files chosen, servers asked again."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from vector_files import IDS, N, X, as_lists, parquet

from irctl.data.files import hub
from irctl.data.vectors import hub_files
from irctl.data.vectors import parquet as vectors_parquet
from irctl.data.vectors.open import open_vectors
from irctl.data.vectors.stream import VectorStream
from irctl.data.vectors.synthetic import SyntheticPart
from irctl.errors import ConfigError, DataError


def test_synthetic_rows_are_the_same_in_any_block_and_have_length_one() -> None:
    stream = open_vectors("synthetic:3000,64,0.5")
    (whole,) = stream.blocks(3000)
    assert whole.ids is None and whole.vectors_ND.shape == (3000, 64)
    np.testing.assert_allclose(np.linalg.norm(whole.vectors_ND, axis=1), 1, rtol=1e-5)
    pieces = np.concatenate([b.vectors_ND for b in stream.blocks(501)])
    np.testing.assert_array_equal(pieces, whole.vectors_ND)
    rows = np.array([2999, 5, 1024, 1023])
    np.testing.assert_array_equal(stream.take(rows), whole.vectors_ND[rows])
    (more,) = open_vectors("synthetic:3001,64,0.5").blocks(3001)
    np.testing.assert_array_equal(more.vectors_ND[:3000], whole.vectors_ND)
    assert open_vectors("synthetic:3000,64,0.2").fingerprint != stream.fingerprint


def test_the_synthetic_spectrum_decays_as_asked_and_is_spread_over_all_directions() -> None:
    part = SyntheticPart("synthetic:8192,32,0.5")
    x_ND = np.concatenate([v for v, _ in part.pieces(0, 8192)])
    values = np.sort(np.linalg.eigvalsh(np.cov(x_ND.T)))[::-1]
    slope = np.polyfit(np.log(np.arange(1, 33)), np.log(values), 1)[0]
    assert -1.25 < slope < -0.8  # variance i^-1 where the deviation is i^-0.5
    variances = x_ND.var(axis=0)
    assert variances.max() / variances.min() < 6  # 32 without the rotation


@pytest.mark.parametrize("text", ["synthetic:10", "synthetic:a,2,1", "synthetic:10,0,1", "synthetic:10,2,nan"])
def test_a_wrong_synthetic_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected synthetic:N,D,decay"):
        open_vectors(text)


def test_hub_vectors_are_read_below_data_root_and_refused_offline(tmp_path: Path) -> None:
    parquet(tmp_path / "o/n/passages_parquet/0.parquet", X, IDS)
    assert open_vectors("hf://o/n@rev/passages_parquet", root=str(tmp_path)).rows == N
    with pytest.raises(DataError, match=r"hf://o/n: .*data.root"):
        open_vectors("hf://o/n")


def mirror(folder: Path) -> Path:
    """The layout of Cohere/msmarco-v2.1-embed-english-v3: four config folders, two shards of passages."""
    for shard, rows in enumerate((slice(0, 1100), slice(1100, N))):
        name = f"msmarco_v2.1_doc_segmented_{shard:02d}"
        parquet(folder / f"passages_parquet/{name}.parquet", X[rows], IDS[rows])
        (folder / "passages_npy").mkdir(exist_ok=True)
        np.save(folder / f"passages_npy/{name}.npy", X[rows].astype(np.float16))
        (folder / "passages_jsonl").mkdir(exist_ok=True)
        (folder / f"passages_jsonl/{name}.json.gz").write_bytes(b"")
    parquet(folder / "queries_parquet/queries.parquet", X[:5], IDS[:5])
    (folder / "README.md").write_text("card")
    return folder


@pytest.mark.parametrize(
    ("path", "first", "rows", "ids"),
    [
        ("", "passages_parquet/msmarco_v2.1_doc_segmented_00.parquet", N, True),
        ("/passages", "passages_parquet/msmarco_v2.1_doc_segmented_00.parquet", N, True),
        ("/passages_parquet", "passages_parquet/msmarco_v2.1_doc_segmented_00.parquet", N, True),
        ("/passages_npy", "passages_npy/msmarco_v2.1_doc_segmented_00.npy", N, False),
        (
            "/passages_npy/msmarco_v2.1_doc_segmented_01.npy",
            "passages_npy/msmarco_v2.1_doc_segmented_01.npy",
            1400,
            False,
        ),
        ("/queries", "queries_parquet/queries.parquet", 5, True),
    ],
)
def test_a_mirror_below_data_root_and_the_hub_choose_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, first: str, rows: int, ids: bool
) -> None:
    folder = mirror(tmp_path / "Cohere/set")
    local = open_vectors(f"hf://Cohere/set{path}", root=str(tmp_path))
    serve(monkeypatch, folder)
    remote = open_vectors(f"hf://Cohere/set@main{path}")
    assert remote.source == f"hf://datasets/Cohere/set@{COMMIT}{path}"
    for stream in (local, remote):
        assert stream.rows == rows and stream.files[0][0].endswith(first)
        blocks = list(stream.blocks(600))
        assert (blocks[0].ids is not None) == ids
        expected = X[1100:] if rows == 1400 else X[:rows]
        found = np.concatenate([b.vectors_ND for b in blocks])
        np.testing.assert_allclose(found, expected, rtol=1e-3 if ".npy" in first else 0)
    assert [r for _, r in local.files] == [r for _, r in remote.files]


COMMIT = "a" * 40


def serve(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """Stand for the hub: one repository, whose newest commit is COMMIT. Returns the places that are opened."""
    opened: list[str] = []

    class Api:
        def dataset_info(self, repo: str, revision: str | None) -> SimpleNamespace:
            names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
            return SimpleNamespace(sha=COMMIT, siblings=[SimpleNamespace(rfilename=n) for n in names])

    class System:
        def open(self, path: str, mode: str) -> io.BufferedReader:
            opened.append(path)
            return (folder / path.partition(f"@{COMMIT}/")[2]).open("rb")

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.HfFileSystem", System)
    return opened


def test_every_byte_comes_from_the_commit_that_was_found_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = serve(monkeypatch, mirror(tmp_path / "set"))
    stream = open_vectors("hf://Cohere/set#emb,title")
    assert stream.source == f"hf://datasets/Cohere/set@{COMMIT}#emb,title"
    assert opened and all(f"@{COMMIT}/passages_parquet/" in path for path in opened)
    assert open_vectors(stream.source).fingerprint == stream.fingerprint
    assert next(stream.blocks(1)).ids == ["t"]


def test_a_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    mirror(tmp_path / "o/n")
    with pytest.raises(DataError, match=r"o/n/corpus: no such file or folder \(for hf://o/n/corpus\)"):
        open_vectors("hf://o/n/corpus", root=str(tmp_path))


def test_a_read_that_breaks_inside_a_parquet_file_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub.time, "sleep", lambda s: None)
    path = parquet(tmp_path / "x.parquet", X, IDS)

    class Flaky(io.FileIO):
        reads = 0

        def read(self, size: int = -1) -> bytes:
            data = super().read(size)
            self.reads += 1
            if self.reads % 3 == 0:
                raise ConnectionError("reset by peer")  # after the position has moved
            return data

    opener = lambda: hub_files.PatientFile(Flaky(path), "s")  # noqa: E731
    stream = VectorStream([vectors_parquet.ParquetPart("remote", opener)], "f")
    np.testing.assert_array_equal(np.concatenate([b.vectors_ND for b in stream.blocks(600)]), X)
    np.testing.assert_array_equal(stream.take(np.array([5, 2400])), X[[5, 2400]])


def test_a_remote_npy_file_reads_like_a_mapped_one() -> None:
    buffer = io.BytesIO()
    np.save(buffer, X)
    buffer.seek(0)
    stream = VectorStream([hub_files.RemoteNpyPart("remote.npy", lambda: buffer)], "f")
    np.testing.assert_array_equal(np.concatenate([b.vectors_ND for b in stream.blocks(999)]), X)
    rows = np.array([2400, 7, 7])
    np.testing.assert_array_equal(stream.take(rows), X[rows])
    short = io.BytesIO(buffer.getvalue()[:-8])
    with pytest.raises(DataError, match="ends before row"):
        list(VectorStream([hub_files.RemoteNpyPart("r.npy", lambda: short)], "f").blocks(N))


def test_a_remote_parquet_file_is_opened_as_a_file_object() -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": IDS, "emb": as_lists(X, "list")}), buffer)
    stream = VectorStream([vectors_parquet.ParquetPart("remote", lambda: buffer)], "f")
    (block,) = stream.blocks(N)
    np.testing.assert_array_equal(block.vectors_ND, X)
    assert block.ids == IDS


def test_files_of_one_folder_are_chosen_from_a_repository() -> None:
    names = ["README.md", "passages_npy/0.npy", "passages_parquet/1.parquet", "passages_parquet/0.parquet"]
    found = hub_files._choose("s", [*names, "queries_parquet/q.parquet"])
    assert found == ["passages_parquet/0.parquet", "passages_parquet/1.parquet"]
    assert hub_files._choose("s", ["b.npy", "a.npy"]) == ["a.npy", "b.npy"]
    with pytest.raises(DataError, match=r"found x/\*.npy, y/\*.npy"):
        hub_files._choose("s", ["x/0.npy", "y/0.npy"])


def test_files_of_several_splits_are_no_one_corpus(tmp_path: Path) -> None:
    names = ["data/train-00000-of-2.parquet", "data/train-00001-of-2.parquet", "data/queries-00000.parquet"]
    with pytest.raises(
        DataError, match=r"queries-00000\.parquet \(1\), data/train-.* \(2\).* --data hf://o/n@r/data/train\*\.parquet"
    ):
        hub_files._choose("hf://o/n@r/data", names)
    for name, rows in ((names[0], X[:1000]), (names[1], X[1000:]), (names[2], X[:7])):
        parquet(tmp_path / "o/n" / name, rows, None)
    assert open_vectors("hf://o/n/data/train-*.parquet", root=str(tmp_path)).rows == N


def test_a_busy_server_is_asked_again_which_is_said_and_a_refusal_is_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(hub.time, "sleep", waits.append)
    calls = 0

    def busy() -> int:
        nonlocal calls
        calls += 1
        if calls < 4:
            raise ConnectionError("reset")
        return 7

    assert hub.call_hub(busy, "s") == 7 and waits == [1, 2, 4]
    (said,) = (r.message for r in caplog.records)
    assert said.startswith("s: cannot be read (") and said.endswith("; trying again, 4 times at most")
    with pytest.raises(DataError, match="s: cannot be read"):
        hub.call_hub(lambda: (_ for _ in ()).throw(TimeoutError("slow")), "s")


def hub_error(kind: type[Exception], status: int = 0) -> Exception:
    """An error as huggingface_hub raises it, without the network."""
    error = kind.__new__(kind)
    Exception.__init__(error, f"{status or 'no answer'}\nmore")
    if status:
        error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("name", "status", "tries"),
    [
        ("HTTPError", 0, 5),  # what httpx raises where the connection breaks: no OSError
        ("HfHubHTTPError", 503, 5),
        ("HfHubHTTPError", 429, 5),
        ("HfHubHTTPError", 400, 1),
        ("GatedRepoError", 403, 1),
        ("RepositoryNotFoundError", 401, 1),
        ("EntryNotFoundError", 0, 1),
        ("RemoteEntryNotFoundError", 404, 1),
        ("LocalEntryNotFoundError", 0, 1),
        ("OfflineModeIsEnabled", 0, 1),
        ("HFValidationError", 0, 1),
    ],
)
def test_every_error_of_the_hub_names_its_source_and_only_what_may_pass_is_tried_again(
    name: str, status: int, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import errors

    monkeypatch.setattr(hub.time, "sleep", lambda s: None)
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        raise hub_error(getattr(errors, name), status)

    with pytest.raises(DataError, match=r"^hf://o/n/x\.npy: "):
        hub.call_hub(call, "hf://o/n/x.npy")
    assert len(calls) == tries


@pytest.mark.parametrize(
    ("cause", "status", "tries"),
    [("HTTPError", 0, 5), ("HfHubHTTPError", 503, 5), ("HfHubHTTPError", 400, 1), ("OfflineModeIsEnabled", 0, 1)],
)
def test_a_file_that_the_cache_lacks_is_asked_for_again_where_only_the_hub_was_out_of_reach(
    cause: str, status: int, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # hf_hub_download and snapshot_download say LocalEntryNotFoundError for whatever kept them from asking
    from huggingface_hub import errors

    monkeypatch.setattr(hub.time, "sleep", lambda s: None)
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        raise hub_error(errors.LocalEntryNotFoundError) from hub_error(getattr(errors, cause), status)

    with pytest.raises(DataError, match=r"^hf://o/n/x\.npy: the hub cannot be reached or is switched off"):
        hub.call_hub(call, "hf://o/n/x.npy")
    assert len(calls) == tries
