"""SQL from the command line: the file is opened read-only, and an authorizer lets nothing but reading through."""

from __future__ import annotations

import sqlite3
from typing import Any

from irctl import stopping
from irctl.errors import ConfigError, DataError
from irctl.ledger.database import publish
from irctl.ledger.database.store import FAILURES, Ledger, is_damage, reason, warn_once

MOST_ROWS = 10_000
STEPS = 100_000  # of SQLite's machine between two looks for a signal: milliseconds
_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


def select(sql: str) -> tuple[list[str], list[tuple[Any, ...]], bool]:
    """(column names, rows, whether more than MOST_ROWS were cut off).

    Raises ConfigError for SQL that fails, Stopped after a signal.
    """
    ledger = Ledger()
    if publish.list_waiting() or not ledger.path.is_file():
        try:
            publish.drain()
        except FAILURES as e:
            if not is_damage(e):  # which is said below, as an error
                warn_once(f"{ledger.path}: {reason(e)}")
    with ledger.read() as connection:
        connection.row_factory = None
        connection.set_authorizer(_authorize)
        # a signal's handler runs where Python does: in here, inside of a long query
        connection.set_progress_handler(stopping.requested, STEPS)
        try:
            cursor = connection.execute(sql)
            rows = cursor.fetchmany(MOST_ROWS + 1)
        except sqlite3.Error as e:
            stopping.check("nothing of a query is kept")
            if is_damage(e):
                raise DataError(f"{ledger.path}: {e}", hint="irctl runs reindex makes it again") from None
            hint = "Only reading is allowed; irctl runs tag, note and reindex change the ledger"
            code = getattr(e, "sqlite_errorcode", 0) & 0xFF  # none on an error of Python's module itself
            denied = code in (sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY)
            said = str(e).rstrip(".")
            raise ConfigError(
                f"sql: {said}", hint=hint if denied else "Tables: " + ", ".join(_tables(ledger))
            ) from None
        names = [column[0] for column in cursor.description or ()]
    return names, rows[:MOST_ROWS], len(rows) > MOST_ROWS


def _authorize(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def _tables(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        sql = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
        return [row["name"] for row in connection.execute(sql)]
