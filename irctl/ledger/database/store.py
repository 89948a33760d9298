"""The ledger file: opened, used and closed for each event, with patience for other writers.

A connection never outlives a call and is never shared across a fork.
"""

from __future__ import annotations

import logging
import random
import shlex
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from irctl import paths
from irctl.errors import DataError, EnvironmentUnfit
from irctl.ledger.database import indexing, journal_mode, schema

BUSY_TIMEOUT_S = 5.0
PATIENCE_S = 60.0
SAY_AFTER_S = 2.0
"""A writer that has more patience than this says then that it waits."""
LONGEST_PAUSE_S = 2.0
# Another writer holds the file; SQLITE_PROTOCOL is how write-ahead logging says so when many processes start at once.
_RETRY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
FAILURES = (sqlite3.Error, OSError, EnvironmentUnfit, DataError)
"""What can go wrong with the file itself; none of it may stop a run."""

T = TypeVar("T")
log = logging.getLogger("irctl")
_warned: set[object] = set()


class Ledger:
    """The database at a path, by default the one of this project."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or paths.ledger()

    def write(self, work: Callable[[sqlite3.Connection], T], *, patience_s: float = PATIENCE_S) -> T:
        """Run `work(connection)` in one short BEGIN IMMEDIATE transaction; it is run again while others hold the file.

        Creates or migrates the file first. Raises one of FAILURES when patience is at an end.
        """
        deadline = time.monotonic() + patience_s
        pause, timeout_s = 0.02, min(SAY_AFTER_S, patience_s)
        while True:
            try:
                # Closing rolls back what was not committed.
                with closing(self._open(timeout_s)) as connection:
                    connection.execute("BEGIN IMMEDIATE")
                    result = work(connection)
                    connection.execute("COMMIT")
                    return result
            except sqlite3.OperationalError as e:
                # The low byte is the kind of error, the rest says where it arose.
                now = time.monotonic()
                if (e.sqlite_errorcode & 0xFF) not in _RETRY or now >= deadline:
                    raise
                if now >= deadline - patience_s + SAY_AFTER_S:
                    timeout_s = min(BUSY_TIMEOUT_S, deadline - now)
                    left = f"another process holds it: waiting, {deadline - now:.0f} s at most"
                    warn_once(f"{self.path}: {left}. fuser {shlex.quote(str(self.path))} names it", (self.path, "wait"))
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, LONGEST_PAUSE_S)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that cannot write. Raises one of FAILURES if the file is missing, broken or another version."""
        if not self.path.is_file():
            raise DataError(f"{self.path}: no such ledger", hint="irctl runs reindex makes it from the run folders")
        with closing(self._open_for_reading()) as connection:
            connection.row_factory = sqlite3.Row
            current = schema.check_version(connection, self.path)
            if current < len(schema.MIGRATIONS):
                found = (
                    f"ledger of version {current}, expected {len(schema.MIGRATIONS)}" if current else "an empty file"
                )
                hint = f"irctl runs reindex {'brings it up to date' if current else 'makes it from the run folders'}"
                raise EnvironmentUnfit.of(self.path, found, hint=hint)
            yield connection

    def is_older(self) -> bool:
        """Whether the file is of an earlier version, which the next writer brings up to date."""
        with closing(self._open_for_reading()) as connection:
            return 0 < schema.version(connection) < len(schema.MIGRATIONS)

    def _open_for_reading(self) -> sqlite3.Connection:
        uri = f"{self.path.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            schema.version(connection)
        except sqlite3.OperationalError:
            connection.close()
            if self.path.with_name(f"{self.path.name}-wal").exists():
                raise
            # A file in WAL mode in a folder that cannot be written: nobody else can be writing either.
            return sqlite3.connect(f"{uri}&immutable=1", uri=True, isolation_level=None)
        return connection

    def _open(self, timeout_s: float) -> sqlite3.Connection:
        mode = journal_mode.journal_mode(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if mode == "delete" and is_in_wal_mode(self.path):
            _leave_wal_mode(self.path, timeout_s)
        connection = sqlite3.connect(self.path, timeout=timeout_s, isolation_level=None)
        try:
            connection.execute(f"PRAGMA journal_mode = {mode}")
            connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")
            connection.execute("PRAGMA mmap_size = 0")
            schema.migrate(connection, self.path, fill)
        except BaseException:
            connection.close()
            raise
        return connection


def fill(connection: sqlite3.Connection) -> None:
    """Index every run folder there is; one that cannot be read is named and left out."""
    _, skipped = indexing.index_all(connection, indexing.run_folders())
    for what in skipped:
        warn_once(what)


def warn_once(text: str, about: object = None) -> None:
    """A warning that this process has not given yet. about: what it is about, where its words may differ."""
    key = text if about is None else about
    if key not in _warned:
        _warned.add(key)
        log.warning("%s", text)


def reason(e: Exception) -> str:
    """Why the ledger could not be used, in one line, with the way out where its file is damaged."""
    said = f"{e.reason}. {e.hint}" if isinstance(e, EnvironmentUnfit) else str(e)  # the path is said by who asks
    text = " ".join(said.rstrip(".").split())
    return f"{text}; irctl runs reindex makes it again" if is_damage(e) else text


def is_damage(e: Exception) -> bool:
    """Whether an error says that the ledger's file is damaged, which no waiting mends."""
    code = getattr(e, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in DAMAGED


def is_in_wal_mode(path: Path) -> bool:
    """Whether a database file asks to be opened with a write-ahead log (bytes 18 and 19 of its header)."""
    try:
        with path.open("rb") as f:
            head = f.read(20)
    except FileNotFoundError:
        return False
    return head[18:20] == b"\x02\x02"


def _leave_wal_mode(path: Path, timeout_s: float) -> None:
    """Convert to a rollback journal. Locked exclusively, the log's index is in our memory, not in a shared file."""
    with closing(sqlite3.connect(path, timeout=timeout_s, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = DELETE")
