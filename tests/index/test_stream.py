"""The compression pipeline: batches read once, resumed, stopped, and failures that say where."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from array_stream import ArrayStream, vectors

from irctl import files, stopping
from irctl.errors import DataError, RunFailed, Stopped
from irctl.index import shards
from irctl.index.arrays import as_rows
from irctl.index.encode_stream import CodeTarget, StageTimes, run
from irctl.index.plan import Plan


def plan_of(stream: ArrayStream, batch: int = 500) -> Plan:
    return Plan(
        source="x", fingerprint=stream.fingerprint, key="", files=stream.files or (("x.npy", stream.rows),),
        dim=stream.dim, batch=batch, method="flat", metric="ip", settings={}, seed=1, train_rows=0, probe=0, workers=1,
    )  # fmt: skip


def halves(x_ND: np.ndarray) -> np.ndarray:
    """The simplest codes: half-precision bytes."""
    return as_rows(x_ND, x_ND.shape[1]).astype("<f2").view(np.uint8).reshape(len(x_ND), -1)


def target(folder: Path, dim: int = 16, encode=halves) -> CodeTarget:  # type: ignore[no-untyped-def]
    return CodeTarget(
        folder=folder, encode=encode, code_size=2 * dim, file=lambda i: f"codes/c_{i:04d}.npy",
        ids_file=lambda i: f"ids/i_{i:04d}.arrow", journal=shards.ShardJournal(folder), quantizer="q",
        done=set(shards.find_done(folder)),
    )  # fmt: skip


def compress(folder: Path, stream: ArrayStream, **more) -> StageTimes:  # type: ignore[no-untyped-def]
    return run(stream, plan_of(stream).batches(), [target(folder, stream.dim, **more)], lambda n: None)


def codes(folder: Path) -> np.ndarray:
    return np.concatenate([np.load(folder / line["file"]) for _, line in sorted(shards.find_done(folder).items())])


def test_codes_and_ids_of_every_batch_are_written_once(tmp_path: Path) -> None:
    x, ids = vectors(1700), [f"d{i}" for i in range(1700)]
    stream = ArrayStream(x, ids)
    spent = compress(tmp_path, stream)
    lines = shards.find_done(tmp_path)
    assert (spent.rows, spent.batches) == (1700, 4) and [line["rows"] for line in lines.values()] == [
        500,
        500,
        500,
        200,
    ]
    assert [(line["first_id"], line["last_id"]) for line in lines.values()][3] == ("d1500", "d1699")
    assert (codes(tmp_path) == halves(x)).all()
    assert shards.read_ids(tmp_path / lines[1]["ids"]).to_pylist() == ids[500:1000]
    assert min(spent.reader_s, spent.encoder_s, spent.writer_s) > 0


def test_a_second_call_reads_only_what_is_missing(tmp_path: Path) -> None:
    stream = ArrayStream(vectors(2000))
    compress(tmp_path, stream)
    lines = shards.find_done(tmp_path)
    (tmp_path / lines[2]["file"]).unlink()
    again = ArrayStream(vectors(2000))
    compress(tmp_path, again)
    assert again.blocks_read == 1 and (codes(tmp_path) == halves(stream.x_ND)).all()


def test_two_methods_read_the_input_once(tmp_path: Path) -> None:
    stream = ArrayStream(vectors(1500))
    targets = [target(tmp_path / "a"), target(tmp_path / "b", encode=lambda x: halves(x) ^ 1)]
    run(stream, plan_of(stream).batches(), targets, lambda n: None)
    assert stream.blocks_read == 3
    assert (codes(tmp_path / "a") == codes(tmp_path / "b") ^ 1).all()


def test_batches_do_not_cross_files(tmp_path: Path) -> None:
    stream = ArrayStream(vectors(1300), files=(("a", 700), ("b", 600)))
    compress(tmp_path, stream)
    assert [line["rows"] for line in shards.find_done(tmp_path).values()] == [500, 200, 500, 100]
    assert (codes(tmp_path) == halves(stream.x_ND)).all()


def test_a_failing_reader_says_which_rows(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"x\.npy: rows 1000-1499: reader: OSError: the disk is on fire"):
        compress(tmp_path, ArrayStream(vectors(3000), broken_at=1200))
    assert set(shards.find_done(tmp_path)) <= {0, 1}


def test_a_row_with_nan_is_named_by_file_and_row(tmp_path: Path) -> None:
    x = vectors(1300)
    x[1033, 3] = np.nan
    with pytest.raises(DataError, match=r"b: row 333: expected finite"):
        compress(tmp_path, ArrayStream(x, files=(("a", 700), ("b", 600))))


def test_a_failing_encoder_says_which_rows(tmp_path: Path) -> None:
    def fails(x_ND: np.ndarray) -> np.ndarray:
        if len(x_ND) == 200:
            raise MemoryError("no more")
        return halves(x_ND)

    with pytest.raises(RunFailed, match=r"rows 1000-1199: encoder: MemoryError"):
        compress(tmp_path, ArrayStream(vectors(1200)), encode=fails)


def test_a_failing_writer_says_which_rows_and_keeps_what_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = files.write_atomic

    def full(path: Path, content: object) -> object:
        if path.name == "c_0002.npy":
            raise RunFailed(f"{path}: no space left on the disk", hint="Free some; the same command continues")
        return whole(path, content)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "write_atomic", full)
    with pytest.raises(RunFailed, match=r"rows 1000-1499: .*no space left"):
        compress(tmp_path, ArrayStream(vectors(4000)))
    assert set(shards.find_done(tmp_path)) == {0, 1}
    monkeypatch.undo()
    compress(tmp_path, ArrayStream(vectors(4000)))
    assert (codes(tmp_path) == halves(vectors(4000))).all()


def test_a_disk_too_small_is_refused_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    stream = ArrayStream(vectors(500))
    with pytest.raises(RunFailed, match="free on the disk"):
        compress(tmp_path, stream)
    assert stream.blocks_read == 0


def test_codes_of_the_wrong_shape_are_our_own_fault_and_stop(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"codes: expected shape \(500, 32\)"):
        compress(tmp_path, ArrayStream(vectors(500)), encode=lambda x: halves(x)[:, 1:])


def test_a_signal_finishes_the_batch_in_hand_and_the_rest_follows_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "_received", [])
    stream = ArrayStream(vectors(20_000), wait_s=0.02)
    threading.Timer(0.15, lambda: stopping._received.append(signal.SIGTERM)).start()
    with pytest.raises(Stopped, match=r"kept: .* of this run") as e:
        compress(tmp_path, stream)
    assert e.value.exit_code == 143
    kept = set(shards.find_done(tmp_path))
    assert 0 < len(kept) < 40
    monkeypatch.setattr(stopping, "_received", [])
    compress(tmp_path, ArrayStream(vectors(20_000)))
    assert (codes(tmp_path) == halves(stream.x_ND)).all()


def test_an_input_that_shrank_is_noticed(tmp_path: Path) -> None:
    plan = plan_of(ArrayStream(vectors(1500)))
    with pytest.raises(DataError, match="The input changed"):
        run(ArrayStream(vectors(1200)), plan.batches(), [target(tmp_path)], lambda n: None)


def test_memory_does_not_grow_with_the_number_of_batches(tmp_path: Path) -> None:
    import tracemalloc

    class Endless(ArrayStream):
        """Blocks that are made when asked for."""

        def blocks(self, size: int, start: int = 0, stop: int | None = None):  # type: ignore[no-untyped-def]
            from irctl.types import VectorBlock

            for a in range(start, min(stop or self.rows, self.rows), size):
                yield VectorBlock(a, None, np.ones((min(size, self.rows - a), self.dim), np.float32))

    peaks = []
    for rows in (20_000, 100_000):
        stream = Endless(np.broadcast_to(np.float32(1), (rows, 16)))
        stream.x_ND = np.empty((0, 16), np.float32)
        tracemalloc.start()
        run(stream, plan_of(stream, 1000).batches(), [target(tmp_path / str(rows))], lambda n: None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.3 + 1e6
