"""Small runs for the ledger's tests, and the ordered text of a whole database."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from irctl import config
from irctl.ledger.recording import RunHandle, start_run

TABLES = ("runs", "params", "metrics", "artifacts", "links", "env", "tags", "events")


def start(command: str = "train", sets: tuple[str, ...] = (), **columns: Any) -> RunHandle:
    """A run that is still open."""
    settings = config.resolve(config.from_sets(sets))
    argv = columns.pop("argv", ["irctl", command])
    return start_run(command=command, argv=argv, config=settings, **{"dataset": "cranfield", **columns})


def finished(command: str = "train", measures: dict[str, float] | None = None, **columns: Any) -> RunHandle:
    """A completed run with these measures."""
    run = start(command, **columns)
    for name, value in (measures or {}).items():
        run.metric(name, value, dataset="cranfield", split="test")
    run.finish("completed")
    return run


def dump(path: Path) -> list[str]:
    """Every row of every table as text, in order."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return [f"{t}: {row}" for t in TABLES for row in sorted(map(repr, connection.execute(f"SELECT * FROM {t}")))]
    finally:
        connection.close()
