"""What irctl keeps as its records, and no output that a user names may be put over or among.

These are the ledger, run folders, bundles, encoded vectors and the cache: what is written there by another command is
lost as a record, or makes one unreadable.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from irctl import paths
from irctl.paths import RunPaths

_MARKS = {"manifest.json": b'"irctl-', "plan.json": b'"irctl-plan"'}
"""File of a folder that irctl wrote -> what stands in it; other programs use such names too."""
_MODEL = "irctl.json"
_SQLITE = b"SQLite format 3\0"
_SIDES = ("-wal", "-shm", "-journal")  # SQLite's own files beside a database


def record_at(path: Path, own: Sequence[Path]) -> str:
    """What irctl keeps in the place of this file, in words; empty where a user's file may be put.

    own: folders in which this process may write, such as that of the run at work: all but the records at its top.
    """
    place = path.resolve()
    if found := _ledger(place) or _database(place):
        return found
    for folder in own:
        if place.is_relative_to(folder):
            return "a record of this run" if place in _records(folder) else ""
    if place.is_relative_to(paths.cache().resolve()):
        return "a place in irctl's cache"
    for folder in place.parents:
        if found := _run(folder) or marked(folder):
            return f"a place in {found}"
    return "a file of a model" if place.is_file() and (place.parent / _MODEL).is_file() else ""


def records_around(path: Path, own: Sequence[Path], *, goes_on: bool) -> str:
    """The same for an output folder. goes_on: of a command that continues in a folder that it began.

    Such a one may lie in the out/ of another run: the steps of a Slurm job share it.
    """
    place = path.resolve()
    if any(place.is_relative_to(folder) for folder in own):
        return ""
    if place == paths.runs().resolve():
        return "the folder of all runs"
    if place.is_relative_to(paths.cache().resolve()):
        return "a place in irctl's cache"
    for folder in (place, *place.parents):
        if (found := _run(folder)) and not (goes_on and place.is_relative_to(RunPaths(folder).out)):
            return found if folder == place else f"a place in {found}"
        if not (goes_on and folder == place) and (found := marked(folder)):
            return found if folder == place else f"a place in {found}"
    return ""


def marked(folder: Path) -> str:
    """What irctl has written or begun in a folder, by the files that say so; empty where it is none of irctl's."""
    if any(_holds(folder / name, mark) for name, mark in _MARKS.items()):
        return f"a folder of vectors or codes ({folder})"
    return f"a folder of vectors or codes ({folder})" if any(folder.glob("journal/manifest.w*.jsonl")) else ""


def _run(folder: Path) -> str:
    """Whether a run lies here, whatever has become of its run.json."""
    file = RunPaths(folder).run_json
    is_one = file.is_file() and (folder.parent == paths.runs().resolve() or _holds(file, b'"argv"'))
    return f"run {folder.name}" if is_one else ""


def _records(folder: Path) -> tuple[Path, ...]:
    run = RunPaths(folder)
    return (run.run_json, run.config, run.events, run.metrics, run.log, run.launch, run.job, run.deepspeed)


def _ledger(place: Path) -> str:
    ledger = paths.ledger().resolve()
    return "the ledger" if place in (ledger, *(ledger.with_name(ledger.name + side) for side in _SIDES)) else ""


def _database(place: Path) -> str:
    """A ledger of elsewhere: irctl writes over no SQLite database."""
    try:
        if not place.is_file():  # a pipe would be waited for
            return ""
        with place.open("rb") as file:
            return "a database" if file.read(len(_SQLITE)) == _SQLITE else ""
    except OSError:
        return ""


def _holds(path: Path, mark: bytes) -> bool:
    try:
        return path.is_file() and mark in path.read_bytes()
    except OSError:
        return False
