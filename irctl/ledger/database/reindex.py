"""Making the database again from the run folders, which are the truth."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from irctl.errors import EnvironmentUnfit
from irctl.ledger.database import indexing, publish
from irctl.ledger.database.schema import RUN_TABLES
from irctl.ledger.database.store import Ledger, is_damage, log
from irctl.ledger.files import run_json


class _Damaged(Exception):
    """A database that can be opened, and is not sound."""


def reindex() -> tuple[int, list[str]]:
    """(runs indexed, what was wrong with folders that were left out). One transaction: readers see the old or the new.

    Runs whose folders lie outside of this project's `runs` stay if those folders still exist and no copy lies here.
    A file that is no readable database, or of a newer version, is moved aside first.
    """
    skipped: list[str] = []
    indexed: set[str] = set()
    notes: list[Path] = []

    def rebuild(connection: sqlite3.Connection) -> None:
        if (problem := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise _Damaged(f"{ledger.path}: {' '.join(str(problem).split())}")
        skipped.clear()
        indexed.clear()
        notes[:] = publish.list_waiting()
        elsewhere = [Path(row[0]) for row in connection.execute("SELECT run_dir FROM runs ORDER BY created_at, id")]
        for table in ("runs", "links", *RUN_TABLES):
            connection.execute(f"DELETE FROM {table}")
        done, left_out = indexing.index_all(connection, _unique([*indexing.run_folders(), *elsewhere]))
        indexed.update(done)
        skipped.extend(left_out)

    ledger = Ledger()
    try:
        ledger.write(rebuild)
    except (sqlite3.DatabaseError, EnvironmentUnfit, _Damaged) as e:
        if isinstance(e, sqlite3.OperationalError) and not is_damage(e):
            raise EnvironmentUnfit(
                f"{ledger.path}: cannot be written ({e})", hint="Its folder must be writable, and it a file"
            ) from e
        if isinstance(e, sqlite3.Error) and not is_damage(e):
            raise
        _move_aside(ledger.path, str(e))
        ledger.write(rebuild)
    for note in notes:
        note.unlink(missing_ok=True)
    return len(indexed), skipped


def _unique(folders: Iterable[Path]) -> list[Path]:
    """Each existing run folder once, by where it really is."""
    return list(dict.fromkeys(folder.resolve() for folder in folders if (folder / run_json.NAME).is_file()))


def _move_aside(path: Path, why: str) -> None:
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for suffix in ("", "-wal", "-shm", "-journal"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(f"{path.name}.unreadable-{stamp}{suffix}"))
    log.warning("%s. Moved aside to %s.unreadable-%s", why.rstrip("."), path.name, stamp)
