"""What an artifact's bytes are: the hash that links the run that made them to the runs that read them.

Files up to 1 GB are read whole. Beyond, size, modification time and sampled blocks stand for the content, and the hash
says so with the prefix 'fast:'.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from irctl.errors import DataError

WHOLE_UP_TO = 10**9
BLOCK = 2**20
SAMPLES = 64


def describe(path: Path, sha256: str | None = None) -> dict[str, Any]:
    """{path, size, sha256, mtime_ns} of a file or folder; its content is read only where no hash is given.

    A name that is no path (a hub model, a built-in collection) needs its hash. Raises DataError if it has none.
    """
    if not path.exists():
        if sha256 is None:
            raise DataError(f"{path}: no such file or folder", hint="An artifact that is no path needs its sha256")
        return {"path": str(path), "size": None, "sha256": sha256, "mtime_ns": None}
    at = path.absolute()
    stats = [p.stat() for p in _files(at)]
    return {
        "path": str(at),
        "size": sum(s.st_size for s in stats),
        "sha256": sha256 or content(at),
        "mtime_ns": max((s.st_mtime_ns for s in stats), default=at.stat().st_mtime_ns),
    }


def content(path: Path) -> str:
    """Hash of a file, or of the names and hashes of every file below a folder."""
    if path.is_file():
        return _file(path)
    tree = hashlib.sha256()
    for file in _files(path):
        tree.update(f"{file.relative_to(path).as_posix()}\0{_file(file)}\n".encode())
    return tree.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file() and not p.name.endswith(".tmp"))


def _file(path: Path) -> str:
    found = path.stat()
    return _hash(str(path), found.st_size, found.st_mtime_ns, found.st_ino)


@lru_cache(maxsize=4096)
def _hash(path: str, size: int, mtime_ns: int, inode: int) -> str:
    """Memoised by everything that changes when a file does."""
    with Path(path).open("rb") as f:
        if size <= WHOLE_UP_TO:
            return hashlib.file_digest(f, "sha256").hexdigest()
        digest = hashlib.sha256(f"{size} {mtime_ns}".encode())
        for i in range(SAMPLES):
            f.seek((size - BLOCK) * i // (SAMPLES - 1))
            digest.update(f.read(BLOCK))
    return f"fast:{digest.hexdigest()}"
