"""Things made from data once and kept in the cache folder: keyed by content, written under a lock, never half read.

A folder is built under a temporary name, its manifest last, and then renamed; so whatever has the right name is whole.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from irctl import paths
from irctl.errors import EnvironmentUnfit, RunFailed

MANIFEST = "manifest.json"
# A file changed within the clock's tick keeps its mtime, so younger files than this are always read.
RACY_NS = 2_000_000_000
WHOLE_BELOW = 1 << 30
SAMPLES, SAMPLE_BYTES = 64, 1 << 16


def key_of(parts: Mapping[str, Any]) -> str:
    """sha256 of the parts as canonical JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def made_once(kind: str, key: str, make: Callable[[Path], Mapping[str, Any]]) -> Path:
    """Folder CACHE/KIND/KEY, made if it is not there. `make(folder)` writes the files and returns the manifest."""
    final = paths.cache() / kind / key[:32]
    if (final / MANIFEST).is_file():
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _lock(final.parent / f".{final.name}.lock") as is_locked:
            if (final / MANIFEST).is_file():
                return final
            for stale in final.parent.glob(f".{final.name}.tmp.*") if is_locked else ():
                shutil.rmtree(stale, ignore_errors=True)  # of a process that was killed: a live one would hold the lock
            work = Path(tempfile.mkdtemp(prefix=f".{final.name}.tmp.", dir=final.parent))
            try:
                manifest = make(work)
                # Manifest last: its presence proves the folder whole.
                (work / MANIFEST).write_text(json.dumps(dict(manifest), sort_keys=True, ensure_ascii=False) + "\n")
                with contextlib.suppress(FileExistsError):
                    work.rename(final)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as e:
        raise cannot_write(final, e) from e
    return final


def manifest(folder: Path) -> dict[str, Any]:
    """What `make` returned for this folder."""
    found: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return found


def cannot_write(path: Path, e: OSError) -> RunFailed | EnvironmentUnfit:
    """The error a user gets when a file or folder cannot be written."""
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunFailed(f"{path}: no space left on the disk", hint="Free some; the same command continues")
    return EnvironmentUnfit(f"{path}: cannot be written ({e.strerror or e})", hint="Set IRCTL_CACHE to another folder")


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Wait for others that make the same thing. Where locks do not work it is made twice; the rename decides."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            yield False
        else:
            yield True


def write_whole(path: Path, write: Callable[[Any], object]) -> str:
    """Let `write(binary file)` fill a file that appears whole or not at all. Returns its sha256."""
    tmp = path.with_name(f".{path.name}.tmp.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tmp.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        tmp.replace(path)
    except OSError as e:
        raise cannot_write(path, e) from e
    finally:
        with contextlib.suppress(OSError):
            tmp.unlink()
    with path.open("rb") as done:
        return hashlib.file_digest(done, "sha256").hexdigest()


def sha256_file(path: Path) -> str:
    """sha256 of the file, remembered in the cache while path, size, inode and times of change stay the same."""
    stat = path.stat()
    # ctime too: a copy that keeps its mtime (cp -p, rsync -t) over a file of the same size must not pass for it
    state = [str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    memo = paths.cache() / "hashes" / f"data-{hashlib.sha256(str(state[0]).encode()).hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # no memo, or a torn one: compute
        entry = json.loads(memo.read_text())
        if entry["state"] == state:
            return str(entry["sha256"])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time_ns() - stat.st_mtime_ns > RACY_NS:
        text = json.dumps({"state": state, "sha256": digest}).encode()
        with contextlib.suppress(RunFailed, EnvironmentUnfit):  # a memo only saves time
            write_whole(memo, lambda file: file.write(text))
    return digest


def identity(path: Path) -> str:
    """sha256 of a file below 1 GiB; of size, time and sampled blocks of a larger one: reading it takes minutes."""
    stat = path.stat()
    if stat.st_size < WHOLE_BELOW:
        return sha256_file(path)
    digest = hashlib.sha256(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    with path.open("rb") as file:
        for i in range(SAMPLES):
            file.seek((stat.st_size - SAMPLE_BYTES) * i // (SAMPLES - 1))
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()
