"""Telling the ledger that a run folder has changed; what it cannot take now waits in runs/spool.

A note there names the folder, no rows: applying it twice, or late, or after a reindex gives the same database.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from irctl import paths
from irctl.errors import DataError
from irctl.ledger.database import indexing
from irctl.ledger.database.store import FAILURES, PATIENCE_S, Ledger, log, reason, warn_once
from irctl.ledger.files import places, run_json
from irctl.ledger.files import run_folder as files

HOME = ".home.jsonl"
"""How a note ends that is for the ledger beside the runs alone."""


def publish(
    folder: Path, parts: Iterable[str] = indexing.PARTS, *, patience_s: float = PATIENCE_S, spool: bool = True
) -> str:
    """Index a run folder, and what waits in the spool. Returns why that failed, or '' when it did not.

    spool: whether a failure leaves a note; heartbeats do not, as the next one says it all again.
    """
    wanted, folder = tuple(parts), places.here_of(str(folder.absolute()))
    try:
        _write(lambda connection: indexing.index_folder(connection, folder, wanted), patience_s)
    except FAILURES as e:
        if spool:
            _leave_note(folder)
        return reason(e)
    return ""


def drain(patience_s: float = PATIENCE_S) -> None:
    """Apply the notes of the spool. Raises one of FAILURES if the ledger cannot be written."""
    _write(lambda connection: None, patience_s)


def hand_home(folder: Path) -> None:
    """Where IRCTL_LEDGER names another file, perhaps on a node's own disk: a note for the ledger beside the runs."""
    home = paths.runs() / "ledger.db"
    other = paths.ledger()
    if other.resolve() == home.resolve() or not other.is_file():  # what could not be written there has left its note
        return
    if home.is_file() or other.stat().st_dev != folder.stat().st_dev:
        _leave_note(folder, HOME)


def list_waiting() -> list[Path]:
    """Notes in the spool, oldest first; those for the ledger beside the runs only there."""
    notes = sorted((paths.runs() / "spool").glob("*.jsonl"))
    is_home = paths.ledger().resolve() == (paths.runs() / "ledger.db").resolve()
    return notes if is_home else [n for n in notes if not n.name.endswith(HOME)]


def _write(work: Callable[[sqlite3.Connection], object], patience_s: float) -> None:
    notes: list[Path] = []

    def all_at_once(connection: sqlite3.Connection) -> None:
        notes[:] = list_waiting()
        for folder in dict.fromkeys(f for note in notes for f in _folders(note)):
            if run_json.is_run(folder):
                try:
                    indexing.index_folder(connection, folder)
                except DataError as e:
                    warn_once(str(e))
        work(connection)

    Ledger().write(all_at_once, patience_s=patience_s)
    for note in notes:
        note.unlink(missing_ok=True)  # after the commit: a crash before it only means the work is done again


def _folders(note: Path) -> list[Path]:
    return [places.here_of(str(row["run_dir"])) for row in files.read_lines(note) if "run_dir" in row]


def _leave_note(folder: Path, suffix: str = ".jsonl") -> None:
    """One note, one file, by rename: nobody appends to a file that another process is about to remove."""
    spool = paths.runs() / "spool"
    try:
        spool.mkdir(parents=True, exist_ok=True)
        partial = spool / f".{uuid.uuid4().hex}.tmp"
        partial.write_text(json.dumps({"run_dir": str(folder.resolve()), "at": files.utc_now()}) + "\n")
        partial.rename(spool / f"{folder.name}-{uuid.uuid4().hex[:8]}{suffix}")
    except OSError as e:
        log.warning("%s: %s. irctl runs reindex finds the run later", spool, e.strerror)
