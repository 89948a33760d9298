"""Atomic shards: what a killed, torn or repeated writer leaves is never read as whole."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irctl.errors import DataError, EnvironmentUnfit, RunFailed
from irctl.files import write_atomic
from irctl.index import shards


def shard(folder: Path, index: int, value: float = 0.0) -> dict[str, Any]:
    written = write_atomic(folder / f"part-{index}.npy", np.full((2, 3), value, np.float32))
    return {"index": index, "file": f"part-{index}.npy", "rows": 2, **written._asdict()}


def test_array_reads_back_and_digest_is_the_files(tmp_path: Path) -> None:
    x_ND = np.arange(12, dtype=np.float32).reshape(3, 4).T  # not C-contiguous
    written = write_atomic(tmp_path / "x.npy", x_ND)
    raw = (tmp_path / "x.npy").read_bytes()
    assert written == (len(raw), hashlib.sha256(raw).hexdigest())
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy", allow_pickle=False), x_ND)


def test_object_arrays_are_refused_not_pickled(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_atomic(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object))
    assert not (tmp_path / "x.npy").exists()


def test_ids_are_one_mapped_utf8_column(tmp_path: Path) -> None:
    shards.write_ids(tmp_path / "ids.arrow", ["007", "é", ""])
    assert shards.read_ids(tmp_path / "ids.arrow").to_pylist() == ["007", "é", ""]
    shards.write_ids(tmp_path / "none.arrow", [])
    assert shards.read_ids(tmp_path / "none.arrow").to_pylist() == []
    (tmp_path / "bad.arrow").write_text("no")
    with pytest.raises(DataError, match=r"bad\.arrow"):
        shards.read_ids(tmp_path / "bad.arrow")


def test_full_disk_is_exit_1_and_leaves_no_file(tmp_path: Path) -> None:
    def full(sink: Any) -> None:
        sink.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunFailed, match="no space left") as e:
        write_atomic(tmp_path / "x.npy", full)
    assert e.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_exit_4(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentUnfit, match="cannot be written"):
        write_atomic(tmp_path / "file" / "x.npy", b"x")


def test_done_needs_a_line_and_a_file_of_its_size(tmp_path: Path) -> None:
    journal = shards.ShardJournal(tmp_path)
    for index in range(4):
        line = shard(tmp_path, index)
        if index != 1:  # killed between the rename and the line
            journal.add(line)
    (tmp_path / "part-2.npy").unlink()
    with (tmp_path / "part-3.npy").open("ab") as file:
        file.truncate(10)
    assert list(shards.find_done(tmp_path)) == [0]


def test_ids_file_counts_as_part_of_the_shard(tmp_path: Path) -> None:
    ids = shards.write_ids(tmp_path / "ids-0.arrow", ["a", "b"])
    line = shard(tmp_path, 0) | {"ids": "ids-0.arrow", "ids_bytes": ids.bytes, "ids_sha256": ids.sha256}
    shards.ShardJournal(tmp_path).add(line)
    assert shards.find_done(tmp_path) == {0: line}
    assert shards.verify(tmp_path, [line]) == 2
    (tmp_path / "ids-0.arrow").unlink()
    assert shards.find_done(tmp_path) == {}


def test_a_torn_last_line_and_a_spoilt_one_in_the_middle_cost_their_shards_only(tmp_path: Path) -> None:
    journal = shards.ShardJournal(tmp_path)
    journal.add(shard(tmp_path, 0))
    with journal.path.open("a") as file:
        file.write('{"index": 1, "file": "part-1')
    assert list(shards.read_journals(tmp_path)) == [0]
    with journal.path.open("a") as file:
        file.write('\n{"index": 2}\n\0\0\0\n[]\n')
    journal.add(shard(tmp_path, 3))
    assert list(shards.read_journals(tmp_path)) == [0, 3] == list(shards.find_done(tmp_path))


def test_equal_duplicates_are_fine_and_two_digests_are_not(tmp_path: Path) -> None:
    first, second = shards.ShardJournal(tmp_path, 0, 2), shards.ShardJournal(tmp_path, 1, 2)
    assert first.path != second.path
    first.add(shard(tmp_path, 0))
    second.add(shard(tmp_path, 0))
    assert list(shards.find_done(tmp_path)) == [0]
    second.add(shard(tmp_path, 0, value=1.0))
    with pytest.raises(DataError, match="shard 0 was written twice"):
        shards.find_done(tmp_path)


def test_sweep_takes_tmp_files_of_dead_processes_only(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    (tmp_path / "sub").mkdir()
    dead = tmp_path / "sub" / f".x.npy.tmp.{socket.gethostname()}.{gone.pid}"
    kept = [
        tmp_path / f".x.npy.tmp.{socket.gethostname()}.{os.getpid()}",
        tmp_path / f".x.npy.tmp.elsewhere.{gone.pid}",
        tmp_path / "x.npy",
    ]
    for path in (dead, *kept):
        path.touch()
    shards.sweep(tmp_path)
    assert not dead.exists()
    assert all(path.exists() for path in kept)


def test_manifest_ends_the_journal_and_is_equal_for_equal_content(tmp_path: Path) -> None:
    digests = []
    for folder, order in ((tmp_path / "a", (0, 1)), (tmp_path / "b", (1, 0))):
        journal = shards.ShardJournal(folder)
        for index in order:
            journal.add(shard(folder, index))
        parts = list(shards.find_done(folder).values())
        digests.append(shards.write_manifest(folder, {"version": 1, "format": "test", "parts": parts}))
        assert not (folder / "journal").exists()
    assert digests[0] == digests[1]
    assert shards.read_manifest(tmp_path / "a", "test")["parts"][1]["index"] == 1


def test_manifest_absent_torn_or_foreign_is_exit_3(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no manifest"):
        shards.read_manifest(tmp_path, "test")
    (tmp_path / "manifest.json").write_text('{"format": "te')
    with pytest.raises(DataError, match="not valid JSON"):
        shards.read_manifest(tmp_path, "test")
    for found in ({"format": "other", "version": 1}, {"format": "test", "version": 2}, {}):
        (tmp_path / "manifest.json").write_text(json.dumps(found))
        with pytest.raises(DataError, match="expected format test version 1"):
            shards.read_manifest(tmp_path, "test")


def test_verify_names_the_file_whose_content_changed(tmp_path: Path) -> None:
    lines = [shard(tmp_path, 0), shard(tmp_path, 1)]
    assert shards.verify(tmp_path, lines) == 2
    raw = bytearray((tmp_path / "part-1.npy").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "part-1.npy").write_bytes(raw)
    with pytest.raises(DataError, match=r"part-1\.npy: is damaged.*expected sha256.*Remove that file alone") as e:
        shards.verify(tmp_path, lines)
    assert str(tmp_path) not in e.value.hint  # the folder holds hours of work
    (tmp_path / "part-1.npy").unlink()
    with pytest.raises(DataError, match=r"part-1\.npy: expected .* bytes, found no file\. Run the command"):
        shards.verify(tmp_path, lines)
