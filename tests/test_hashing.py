"""What files are known by: all of their bytes, or, large ones, what the mode says."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from irctl import hashing, paths


def test_memo_spares_a_second_reading_until_the_file_changes(tmp_path: Path) -> None:
    file, calls = tmp_path / "weights", []

    def count(path: Path) -> int:
        calls.append(path)
        return path.stat().st_size

    file.write_bytes(b"abc")
    assert hashing.remembered(file, "size", count) == hashing.remembered(file, "size", count) == 3
    assert len(calls) == 2  # too young to trust its mtime
    old = time.time_ns() - 10 * hashing.RACY_NS
    os.utime(file, ns=(old, old))
    assert hashing.remembered(file, "size", count) == hashing.remembered(file, "size", count) == 3
    assert len(calls) == 3
    file.write_bytes(b"abcd")
    assert hashing.remembered(file, "size", count) == 4
    assert hashing.sha256_file(file) == hashlib.sha256(b"abcd").hexdigest()


def test_a_file_changed_in_place_has_another_hash(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("one")
    old = time.time() - 100
    os.utime(path, (old, old))
    first = hashing.sha256_file(path)
    assert hashing.sha256_file(path) == first and list((paths.cache() / "hashes").glob("*.json"))
    path.write_text("two")  # same size
    assert hashing.sha256_file(path) != first


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as large: 200 blocks of 16 bytes, of which 64 are sampled."""
    monkeypatch.setattr(hashing, "WHOLE_UP_TO", 1000)
    monkeypatch.setattr(hashing, "SMALL", 500)
    monkeypatch.setattr(hashing, "BLOCK", 16)
    monkeypatch.setenv(hashing.CARRIER, "fast")
    path = tmp_path / "large"
    path.write_bytes(bytes(3200))
    os.utime(path, ns=(10**18, 10**18))
    return path


def overwrite(path: Path, at: int) -> None:
    """Change one byte; the modification time stays."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(10**18, 10**18))


MODES = [("fast", "fast:", [True, False]), ("none", "stat:", [False, False]), ("full", "", [True, True])]


@pytest.mark.parametrize(("mode", "start", "seen"), MODES)
def test_each_mode_sees_what_it_says(large: Path, mode: str, start: str, seen: list[bool]) -> None:
    hashing.use(mode)
    found = []
    for at in (5, 40):  # in the first block sampled, and between two
        before = hashing.identity(large)
        overwrite(large, at)
        found.append(hashing.identity(large) != before)
    assert found == seen and before.startswith(start)
    moved = hashing.identity(large)
    os.utime(large, ns=(10**18 + 1, 10**18 + 1))
    assert (hashing.identity(large) != moved) == (mode != "full")


def test_a_small_file_is_its_sha256_in_every_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hashing.CARRIER, "none")
    (tmp_path / "small").write_bytes(b"abc")
    assert hashing.identity(tmp_path / "small") == hashlib.sha256(b"abc").hexdigest()


def test_child_processes_have_the_mode_of_their_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hashing.CARRIER, "fast")
    hashing.use("full")
    code = "import os; from irctl import hashing; print(os.environ[hashing.CARRIER])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "full\n"


def test_a_folder_is_sampled_by_the_size_of_all_its_files_and_the_cost_is_bounded(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """400 shards of 500 MB were read whole by every array task: each was below the limit of one file."""
    monkeypatch.setattr(hashing, "TOGETHER", 100)
    files = [tmp_path / f"{i:02d}" for i in range(20)]
    for path in files:
        path.write_bytes(bytes(800))  # below the limit alone, 16,000 bytes in all
    (tmp_path / "ids").write_bytes(b"a")
    read: list[Path] = []
    whole = hashing.compute_sha256
    monkeypatch.setattr(hashing, "compute_sha256", lambda path: read.append(path) or whole(path))
    known = hashing.identities([*files, tmp_path / "ids"])
    assert all(k.startswith("fast:") for k in known[:-1]) and known[-1] == hashlib.sha256(b"a").hexdigest()
    assert read == [tmp_path / "ids"]
    asked: list[int] = []
    monkeypatch.setattr(hashing, "_sampled", lambda path, stat, samples: asked.append(samples) or "fast:")
    for count, samples in ((20, 5), (2, 50), (1, 0)):  # a hundred together; one alone is small enough to be read whole
        asked.clear()
        hashing.identities(files[:count])
        assert set(asked) == ({samples} if samples else set())
    hashing.identity(large)
    hashing.identities([files[0]] * 100)
    assert asked == [64] + [hashing.FEWEST] * 100


@pytest.mark.parametrize(("mode", "start"), [("fast", "fast:"), ("none", "stat:"), ("full", "")])
def test_what_was_known_in_one_mode_is_found_again_from_another(large: Path, mode: str, start: str) -> None:
    folder = large.parent / "folder"
    folder.mkdir()
    large.rename(folder / "large")
    hashing.use(mode)
    stored = [hashing.identity(folder / "large"), hashing.content(folder)]
    assert [hashing.mode_of(s) for s in stored] == [mode, mode] and stored[1].startswith(start)
    for other in {"fast", "none", "full"} - {mode}:
        hashing.use(other)
        assert f"--hash {mode}" in hashing.hint_if_otherwise(stored[1], hashing.content(folder))
        with hashing.like(stored[1]):
            assert [hashing.identity(folder / "large"), hashing.content(folder)] == stored
        assert hashing.mode() == other
    assert hashing.hint_if_otherwise(*stored) == ""


def test_an_error_inside_gives_the_mode_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(hashing.CARRIER, raising=False)
    with pytest.raises(ValueError, match="x"), hashing.like("stat:1"):
        raise ValueError("x")
    assert hashing.mode() == "fast" and hashing.CARRIER not in os.environ
