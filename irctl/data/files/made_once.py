"""Things made from data once and kept in the cache folder: keyed by content, written under a lock, never half read.

A folder is built under a temporary name, its manifest last, and then renamed; so whatever has the right name is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from irctl import files, paths, stopping, tables
from irctl.errors import IrctlError

MANIFEST = "manifest.json"


def key_of(parts: Mapping[str, Any]) -> str:
    """sha256 of the parts as canonical JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def find_made(kind: str, key: str) -> Path | None:
    """The folder of `make_once` if it is there."""
    final = paths.cache() / kind / key[:32]
    return final if (final / MANIFEST).is_file() else None


def make_once(kind: str, key: str, make: Callable[[Path], Mapping[str, Any]]) -> Path:
    """Folder CACHE/KIND/KEY, made if it is not there. `make(folder)` writes the files and returns the manifest."""
    final = paths.cache() / kind / key[:32]
    if (final / MANIFEST).is_file():
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        # at once: making takes minutes of a large collection, and so does the wait for another process that makes it
        with stopping.at_once(f"nothing of {final} is kept"), alone(final.parent / f".{final.name}.lock") as is_locked:
            if (final / MANIFEST).is_file():
                return final
            for stale in final.parent.glob(f".{final.name}.tmp.*") if is_locked else ():
                shutil.rmtree(stale, ignore_errors=True)  # of a process that was killed: a live one would hold the lock
            work = Path(tempfile.mkdtemp(prefix=f".{final.name}.tmp.", dir=final.parent))
            try:
                about = make(work)
                # Manifest last: its presence proves the folder whole.
                (work / MANIFEST).write_text(json.dumps(dict(about), sort_keys=True, ensure_ascii=False) + "\n")
                with contextlib.suppress(FileExistsError):
                    work.rename(final)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as e:
        raise cannot_write(final, e) from e
    return final


def read_manifest(folder: Path) -> dict[str, Any]:
    """What `make` returned for this folder."""
    return tables.json_object(folder / MANIFEST, hint=f"Remove {folder} and run again")


def cannot_write(path: Path, e: OSError) -> IrctlError:
    """The error a user gets when a file or folder of the cache cannot be written."""
    return files.write_error(path, e, hint="Set IRCTL_CACHE to another folder")


@contextlib.contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Wait for others that make the same thing. Where locks do not work it is made twice; the rename decides."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            yield False
        else:
            yield True
