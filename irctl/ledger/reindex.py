"""Making the database again from the run folders, which are the truth."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from irctl.errors import DataError, EnvironmentUnfit
from irctl.ledger import indexing, publish
from irctl.ledger.schema import RUN_TABLES
from irctl.ledger.store import Ledger, log

_NOT_READABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def reindex() -> tuple[int, list[str]]:
    """(runs indexed, what was wrong with folders that were left out). One transaction: readers see the old or the new.

    Runs whose folders lie outside of this project's `runs` stay if those folders still exist.
    A file that is no readable database, or of a newer version, is moved aside first.
    """
    skipped: list[str] = []
    indexed: set[str] = set()
    notes: list[Path] = []

    def rebuild(connection: sqlite3.Connection) -> None:
        skipped.clear()
        indexed.clear()
        notes[:] = publish.waiting()
        elsewhere = [Path(row[0]) for row in connection.execute("SELECT run_dir FROM runs ORDER BY created_at, id")]
        for table in ("runs", "links", *RUN_TABLES):
            connection.execute(f"DELETE FROM {table}")
        for folder in _unique([*indexing.run_folders(), *elsewhere]):
            try:
                indexed.add(indexing.index_folder(connection, folder))
            except DataError as e:
                skipped.append(str(e))

    ledger = Ledger()
    try:
        ledger.write(rebuild)
    except (sqlite3.DatabaseError, EnvironmentUnfit) as e:
        code = getattr(e, "sqlite_errorcode", None)
        if isinstance(e, sqlite3.Error) and (code is None or code & 0xFF not in _NOT_READABLE):
            raise
        _move_aside(ledger.path, str(e))
        ledger.write(rebuild)
    for note in notes:
        note.unlink(missing_ok=True)
    return len(indexed), skipped


def _unique(folders: Iterable[Path]) -> list[Path]:
    """Each existing run folder once, by where it really is."""
    found: dict[Path, None] = {}
    for folder in folders:
        if (folder / "run.json").is_file():
            found[folder.resolve()] = None
    return list(found)


def _move_aside(path: Path, why: str) -> None:
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for suffix in ("", "-wal", "-shm", "-journal"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(f"{path.name}.unreadable-{stamp}{suffix}"))
    log.warning("%s. Moved aside to %s.unreadable-%s", why.rstrip("."), path.name, stamp)
