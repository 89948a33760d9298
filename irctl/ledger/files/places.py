"""Recorded paths: what lies in a run folder is kept relative to it, and found from where that folder is now.

So runs that are copied or moved, all or one, speak of their own files and never of those of where they came from.
Absolute paths of runs recorded before that are read the same way: by the run id in them.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from irctl import paths
from irctl.ledger.files import run_json
from irctl.ledger.files.identity import ID_PATTERN


def stored(path: Path, folder: Path) -> str:
    """How a run in `folder` records a path: relative if it lies there, else absolute."""
    at = path.absolute()
    for place, home in ((at, folder.absolute()), (at.resolve(), folder.resolve())):
        if place.is_relative_to(home):
            return place.relative_to(home).as_posix()
    return str(at)


def relative(text: str, run_id: str) -> str:
    """A recorded path of this run as it is recorded now: an absolute one below a folder of its id, from there on."""
    if not text.startswith("/") or run_id not in text:  # texts as long as they do: a report locates thousands
        return text
    path = PurePosixPath(text)
    return _after(path, run_id).as_posix() if run_id in path.parts else text


def locate(text: str, folder: Path, run_id: str, role: str = "out") -> str:
    """Where a path that the run in `folder` recorded lies now. Of role `in` it may be a name, which stays as it is."""
    kept = relative(text, run_id)
    if not kept.startswith("/"):
        here = folder.absolute() / kept
        return str(here) if role == "out" or here.exists() else kept
    return str(here_of(kept, folder.parent))


def here_of(text: str, runs: Path | None = None) -> Path:
    """The path, or where it lies among these runs (default: the project's) if it is of a run that is here too."""
    if text.startswith("/") and ID_PATTERN.search(text):
        path, root = PurePosixPath(text), runs or paths.runs()
        for part in reversed(path.parts):
            if ID_PATTERN.fullmatch(part) and (root / part / run_json.NAME).is_file():
                return (root / part).absolute() / _after(path, part)
    return Path(text)


def run_folder(run_id: str, recorded: str, runs: Path | None = None) -> Path:
    """The folder of a run: among these runs (default: the project's) if it is there, else where it was indexed."""
    here = runs or paths.runs().absolute()
    # texts, not paths: thousands of runs may be asked for
    is_here = ID_PATTERN.fullmatch(run_id) and os.path.isfile(f"{here}{os.sep}{run_id}{os.sep}{run_json.NAME}")  # noqa: PTH113
    return here / run_id if is_here else Path(recorded)


def _after(path: PurePosixPath, part: str) -> PurePosixPath:
    """What follows the last folder of that name."""
    last = len(path.parts) - 1 - path.parts[::-1].index(part)
    return PurePosixPath(*path.parts[last + 1 :])
