"""What the bytes of a file are: sha256, remembered in the cache while path, size, inode and times stay the same.

Of a large file its size, time of change and sampled blocks stand for the content unless the whole is asked for: reading
218 GB to know that they are the same takes longer than most of what is done with them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from irctl import paths

WHOLE_UP_TO = 10**9
BLOCK = 1 << 20
SAMPLES = 64
# A file changed within the clock's tick keeps its mtime, so younger files than this are always read.
RACY_NS = 2_000_000_000
CARRIER = "IRCTL_HASH"
"""How child processes learn the mode of their parent. Set by `use` alone: what a user puts there does not count."""


def use(mode: str) -> None:
    """How `identity` knows files above 1 GB from here on, in child processes too: fast, full or none."""
    os.environ[CARRIER] = mode


def file_digest(path: Path) -> str:
    """sha256 of the file, read now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_file(path: Path) -> str:
    """sha256 of the file, remembered."""
    return str(remembered(path, "sha256", file_digest))


def identity(path: Path) -> str:
    """sha256 of a file up to 1 GB. Of a larger one by mode: fast:<of size, time and 64 MiB sampled>, the sha256 of
    all of it (full), or stat:<of size and time> (none)."""
    found = path.stat()
    mode = os.environ.get(CARRIER, "fast")
    if found.st_size <= WHOLE_UP_TO or mode == "full":
        return sha256_file(path)
    digest = hashlib.sha256(f"{found.st_size} {found.st_mtime_ns}".encode())
    if mode == "none":
        return f"stat:{digest.hexdigest()}"
    with path.open("rb") as file:
        for i in range(SAMPLES):
            file.seek((found.st_size - BLOCK) * i // (SAMPLES - 1))
            digest.update(file.read(BLOCK))
    return f"fast:{digest.hexdigest()}"


def content(path: Path) -> str:
    """Identity of a file, or sha256 of the names and identities of every file below a folder."""
    if path.is_file():
        return identity(path)
    tree = hashlib.sha256()
    for file in files_below(path):
        tree.update(f"{file.relative_to(path).as_posix()}\0{identity(file)}\n".encode())
    return tree.hexdigest()


def files_below(path: Path) -> list[Path]:
    """The file, or every file below the folder but those half written, in order."""
    if path.is_file():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file() and not p.name.endswith(".tmp"))


def remembered(path: Path, what: str, compute: Callable[[Path], Any]) -> Any:
    """`compute(path)`, a JSON value, remembered in the cache folder while path, size, inode and times stay the same."""
    stat = path.stat()
    # ctime too: a copy that keeps its mtime (cp -p, rsync -t) over a file of the same size must not pass for it
    state = [str(path.resolve()), what, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    memo = paths.cache() / "hashes" / (hashlib.sha256(f"{state[0]}\0{what}".encode()).hexdigest()[:32] + ".json")
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # no memo, or a torn one: compute
        entry = json.loads(memo.read_text())
        if entry["state"] == state:
            return entry["value"]
    value = compute(path)
    if time.time_ns() - stat.st_mtime_ns > RACY_NS:
        with contextlib.suppress(OSError):  # a memo only saves time
            memo.parent.mkdir(parents=True, exist_ok=True)
            tmp = memo.with_name(f".{memo.name}.tmp.{os.getpid()}")
            tmp.write_text(json.dumps({"state": state, "value": value}))
            tmp.replace(memo)
    return value
