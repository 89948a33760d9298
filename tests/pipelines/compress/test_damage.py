"""A flipped byte in what irctl wrote ends whatever reads it, with the file and the command that makes it again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from compressing import compressed, new_run, save_vectors, settings, vectors
from workspace import line_of

from irctl import hashing
from irctl.data.vectors.open import open_vectors
from irctl.errors import DataError
from irctl.index import shards
from irctl.ledger import stored
from irctl.ledger.recording import start_run
from irctl.models.embedding_folder import EmbeddingFolder
from irctl.pipelines.export.export import ExportRequest, export
from irctl.pipelines.references import bundles
from irctl.pipelines.search import document_ids, opened_index, spread
from irctl.types import Silent

ROWS = 1500


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    save_vectors(folder / "x.npy", ROWS)
    (folder / "ids.txt").write_text("".join(f"d{i}\n" for i in range(ROWS)))
    compressed(folder, tmp_path / "bundle")
    return tmp_path / "bundle"


def flip(path: Path) -> Path:
    """One byte is another, size and time of change the same."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return path


def searched(bundle: Path, k: int = 3, **keys: object) -> list[str]:
    config = settings(**keys)
    index = opened_index.open_index(str(bundle), config)
    place = bundle.parent / "logs"
    place.mkdir(exist_ok=True)
    found, _ = spread.search(index, vectors(2, seed=9), k, config, place, Silent())
    return document_ids.Documents(index, None, Silent()).of(found.rows_Qk.ravel())


def exporting(to: str) -> Callable[[Path], object]:
    def work(bundle: Path) -> object:
        with new_run("export", settings()) as run:
            return export(settings(), run, Silent(), ExportRequest(source=str(bundle), to=to))

    return work


@pytest.mark.parametrize(
    "read", [searched, exporting("npy"), exporting("batches"), exporting("faiss"), exporting("parquet")]
)
def test_damaged_codes_are_neither_searched_nor_exported(bundle: Path, read: Callable[[Path], object]) -> None:
    read(bundle)  # hashed and remembered: the change shows all the same
    path = flip(bundle / "codes" / "pq_compressed_batch_0001.npy")
    with pytest.raises(DataError, match=r"batch_0001\.npy: is damaged: expected sha256") as e:
        read(bundle)
    assert "Remove that file alone and make it again" in e.value.hint
    path.unlink()
    compressed(bundle.parent / "in", bundle)
    read(bundle)


@pytest.mark.parametrize("read", [lambda b: searched(b, k=ROWS), exporting("ids"), exporting("parquet")])
def test_damaged_ids_are_neither_told_nor_exported(bundle: Path, read: Callable[[Path], object]) -> None:
    flip(bundle / "ids" / "batch_0000.arrow")
    with pytest.raises(DataError, match=r"ids/batch_0000\.arrow: is damaged"):
        read(bundle)


@pytest.mark.parametrize("name", ["codes/pq_compressed_batch_0000.npy", "ids/batch_0001.arrow"])
def test_a_compression_does_not_count_damaged_batches_as_done(bundle: Path, name: str) -> None:
    flip(bundle / name)
    with pytest.raises(DataError, match=f"{Path(name).name}: is damaged"):
        compressed(bundle.parent / "in", bundle)
    (bundle / name).unlink()
    compressed(bundle.parent / "in", bundle)
    searched(bundle, k=ROWS)


def test_hash_none_leaves_it_out(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hashing.CARRIER, "none")
    flip(bundle / "codes" / "pq_compressed_batch_0001.npy")
    searched(bundle)


def test_a_content_is_hashed_once(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched(bundle)
    monkeypatch.setattr(hashing, "compute_sha256", lambda path: pytest.fail(f"{path} hashed again"))
    monkeypatch.setattr(bundles, "load_quantizer", lambda folder: pytest.fail("not needed"))
    for file in (bundle / "codes").iterdir():
        digest = next(
            p["sha256"] for p in shards.read_manifest(bundle, "irctl-bundle")["parts"] if file.name in p["file"]
        )
        stored.check(file, digest)


def test_a_merged_file_is_hashed_once_for_all_its_batches_and_verify_hashes_nothing_twice(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, hashed = tmp_path / "in", []
    real = hashing.compute_sha256
    monkeypatch.setattr(hashing, "compute_sha256", lambda path: hashed.append(path.name) or real(path))
    compressed(source, bundle, finalize=True, compress__merge="true")
    monkeypatch.setattr(stored, "_checked", set())
    hashed.clear()
    compressed(source, bundle)
    codes = [name for name in hashed if name.startswith("part-") and name.endswith(".npy")]
    assert len(codes) == len(set(codes)) == 1
    partial = tmp_path / "partial"
    compressed(source, partial, compress__max_batches=2)
    monkeypatch.setattr(stored, "_checked", set())
    hashed.clear()
    compressed(source, partial, verify=True)
    batches = [name for name in hashed if "_batch_" in name and name.endswith(".npy")]
    assert sorted(batches) == ["pq_compressed_batch_0000.npy", "pq_compressed_batch_0001.npy"]


def test_several_processes_hash_nothing_that_the_first_has_hashed(bundle: Path) -> None:
    index = opened_index.open_index(str(bundle), settings(search__block=500))
    job = {"config": settings(search__block=500).to_json(), "index": str(bundle), "fingerprint": index.fingerprint}
    job |= {"k": 3, "block": 500, "folder": str(bundle.parent)}
    np.save(bundle.parent / spread.QUERIES, vectors(2, seed=9))
    flip(bundle / "codes" / "pq_compressed_batch_0001.npy")
    with pytest.raises(DataError, match="is damaged"):
        searched(bundle, hardware__devices=2, search__block=500)
    try:
        spread.search_share(job, 0, 2)  # what the processes do: trusts the one that started them
    finally:
        stored._trusted = False


@pytest.fixture
def encoded(tmp_path: Path) -> Path:
    """What irctl encode leaves: two shards."""
    folder, parts = tmp_path / "v", []
    for number in range(2):
        part = shards.write_atomic(folder / "vectors" / f"part-{number:05d}.npy", vectors(300, seed=number))
        ids = shards.write_ids(folder / "ids" / f"part-{number:05d}.arrow", [f"d{number}-{i}" for i in range(300)])
        line = {"file": f"vectors/part-{number:05d}.npy", "rows": 300, "bytes": part.bytes, "sha256": part.sha256}
        line |= {"ids": f"ids/part-{number:05d}.arrow", "ids_bytes": ids.bytes, "ids_sha256": ids.sha256}
        parts.append(line | {"index": number})
    about = {"rows": 600, "dim": vectors(1).shape[1], "dtype": "float32", "similarity": "dot", "key": "k"}
    shards.write_manifest(folder, {"format": "irctl-embeddings", "version": 1, **about, "parts": parts})
    return folder


def test_damaged_vectors_are_noticed_where_they_are_read(encoded: Path, tmp_path: Path) -> None:
    assert len(list(open_vectors(encoded).blocks(100))) == 6
    flip(encoded / "vectors" / "part-00001.npy")
    stream = open_vectors(encoded)
    next(stream.blocks(100))  # the first shard is as it was
    for read in (
        lambda: list(stream.blocks(100)),
        lambda: stream.take(np.array([400])),
        lambda: stream.check(),
        lambda: EmbeddingFolder(encoded).array(),
        lambda: searched(encoded),
        lambda: compressed(encoded, tmp_path / "b"),
    ):
        with pytest.raises(DataError, match=r"part-00001\.npy: is damaged"):
            read()
    flip(encoded / "ids" / "part-00000.arrow")
    with pytest.raises(DataError, match=r"part-00000\.arrow: is damaged"):
        next(open_vectors(encoded).blocks(100))


def test_samples_of_more_than_a_gigabyte_are_read_as_they_are(encoded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # re-ranking fetches a few rows of hundreds of gigabytes
    monkeypatch.setattr(hashing, "WHOLE_UP_TO", 1000)
    flip(encoded / "vectors" / "part-00001.npy")
    assert open_vectors(encoded).take(np.array([400])).shape == (1, vectors(1).shape[1])
    with pytest.raises(DataError, match="is damaged"):
        list(open_vectors(encoded).blocks(100))


def test_the_command_that_makes_a_file_again_is_that_of_its_run(tmp_path: Path, monkeypatch) -> None:
    config = settings()
    path = Path("/nowhere/x.npy")
    assert stored.again(path) == "run the command that wrote it again; the others stay"  # no one to read lines
    monkeypatch.setattr(stored, "_read", line_of)
    with new_run("compress", config) as run:
        path = run.out / "codes" / "x.npy"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
        run.artifact("out", "bundle", run.out, sha256="0")
        run.artifact("out", "bundle", tmp_path / "elsewhere", sha256="0")
    words = stored.again(path)
    assert words.startswith("irctl compress") and words.endswith(f"--out {run.out}")
    assert stored.again(tmp_path / "elsewhere" / "codes" / "x.npy").startswith("irctl compress")
    assert stored.again(Path("/nowhere/x.npy")) == "run the command that wrote it again; the others stay"


def test_words_of_a_line_that_look_like_an_option_or_a_command_are_none(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(stored, "_read", line_of)
    argv = ["irctl", "search", "--index", "compress", "--queries", "q.npy"]
    with start_run(command="search", argv=argv, config=settings()) as run:
        pass
    assert "--out" not in stored.again(run.out / "x.npy")
    argv = ["irctl", "compress", "--data", "x.npy", "--init", "--append=b"]  # a bundle of that name
    with start_run(command="compress", argv=argv, config=settings()) as run:
        run.artifact("out", "bundle", tmp_path / "b", sha256="0")
    assert stored.again(run.out / "x.npy").endswith(f"--out {run.out}")
    assert "x.npy" in stored.again(tmp_path / "b" / "codes" / "x.npy")
