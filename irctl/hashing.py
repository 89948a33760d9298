"""What the bytes of a file are: sha256, remembered in the cache while path, size, inode and times stay the same.

Of an input above 1 GB the size, time of change and sampled blocks of each file stand for the content unless the whole
is asked for: reading 218 GB to know that they are the same takes longer than most of what is done with them. What was
known that way says so by its beginning (fast: or stat:), so that it can be made again in the same way.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from irctl import paths

WHOLE_UP_TO = 10**9
"""Bytes of an input, all files together, that are read whole."""
SMALL = 16 << 20
"""Files up to this are read whole in larger inputs too."""
BLOCK = 1 << 20
SAMPLES = 64
"""Blocks read of a large file that is alone, at most."""
TOGETHER, FEWEST = 1024, 4
"""Blocks read of all files of an input, shared among them; each gets at least the fewest."""
MODE_OF = {"fast:": "fast", "stat:": "none"}
# A file changed within the clock's tick keeps its mtime, so younger files than this are always read.
RACY_NS = 2_000_000_000
CARRIER = "IRCTL_HASH"
"""How child processes learn the mode of their parent. Set by `use` alone: what a user puts there does not count."""


def use(mode: str) -> None:
    """How `identity` knows files above 1 GB from here on, in child processes too: fast, full or none."""
    os.environ[CARRIER] = mode


def compute_sha256(path: Path) -> str:
    """sha256 of the file, read now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_file(path: Path) -> str:
    """sha256 of the file, remembered."""
    return str(remembered(path, "sha256", compute_sha256))


def mode() -> str:
    """The mode that holds now: fast, full or none."""
    return os.environ.get(CARRIER, "fast")


def mode_of(stored: str) -> str:
    """The mode that a stored identity or fingerprint was made in; full where every byte was read."""
    return MODE_OF.get(stored[:5], "full")


@contextlib.contextmanager
def like(stored: str) -> Iterator[None]:
    """In this block files are known as they were for `stored`, whatever the mode is; where that is empty, by the mode.

    For comparing: open what may be the same input inside, and its fingerprint can be compared with the stored one.
    """
    before = os.environ.get(CARRIER)
    if stored:
        use(mode_of(stored))
    try:
        yield
    finally:
        if before is not None:
            use(before)
        else:
            os.environ.pop(CARRIER, None)


def hint_if_otherwise(stored: str, found: str) -> str:
    """The next step where two fingerprints differ because they were made in different modes; else empty."""
    if mode_of(stored) == mode_of(found):
        return ""
    return f"Hashed another way: add --hash {mode_of(stored)}"


def marked(key: str, members: Iterable[str]) -> str:
    """The key of several identities, beginning like those that were not made of every byte."""
    return next((m[:5] for m in members if m[:5] in MODE_OF), "") + key


def identity(path: Path) -> str:
    """`identities` of a file alone."""
    return identities([path])[0]


def identities(files: Sequence[Path]) -> list[str]:
    """What each file of one input is known by.

    sha256, of an input up to 1 GB and of small files. Of the other files by mode: fast:<of size, time and up to 64
    blocks of 1 MiB, a GiB of the whole input or 4 MiB a file>, sha256 (full), or stat:<of size and time> (none).
    """
    stats = [path.stat() for path in files]
    if mode() == "full" or sum(s.st_size for s in stats) <= WHOLE_UP_TO:
        return [sha256_file(path) for path in files]
    count = sum(s.st_size > SMALL for s in stats)
    samples = max(FEWEST, min(SAMPLES, TOGETHER // max(count, 1)))
    return [
        _sampled(path, stat, samples) if stat.st_size > SMALL else sha256_file(path)
        for path, stat in zip(files, stats, strict=True)
    ]


def _sampled(path: Path, found: os.stat_result, samples: int) -> str:
    sha256 = hashlib.sha256(f"{found.st_size} {found.st_mtime_ns}".encode())
    if mode() == "none":
        return f"stat:{sha256.hexdigest()}"
    with path.open("rb") as file:
        for i in range(samples):
            file.seek(max(0, found.st_size - BLOCK) * i // (samples - 1))
            sha256.update(file.read(BLOCK))
    return f"fast:{sha256.hexdigest()}"


def content(path: Path) -> str:
    """Identity of a file, or sha256 of the names and identities of every file below a folder."""
    if path.is_file():
        return identity(path)
    tree, files = hashlib.sha256(), files_below(path)
    known = identities(files)
    for file, text in zip(files, known, strict=True):
        tree.update(f"{file.relative_to(path).as_posix()}\0{text}\n".encode())
    return marked(tree.hexdigest(), known)


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
