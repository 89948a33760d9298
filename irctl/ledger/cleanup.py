"""Disk space that runs no longer need: training state of completed runs, leftovers of killed ones, old failures."""

from __future__ import annotations

import shutil
import sqlite3
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from irctl.ledger import indexing, query
from irctl.ledger.query import RunRecord
from irctl.ledger.store import Ledger

OPEN = ("running", "queued")
FAILURES = ("failed", "killed", "lost", "interrupted")


@dataclass(frozen=True)
class Waste:
    """Something that can go: the run it belongs to, what it is, and why."""

    run_id: str
    path: Path
    size: int
    why: str


def find(*, failed: bool = False, older_than_days: float = 30.0) -> list[Waste]:
    """What could be removed. Tagged runs, runs with a note, and runs that others were made from keep everything.

    failed: also whole folders of runs that ended badly, more than `older_than_days` ago.
    """
    found = []
    for run in query.list_runs():
        if run.columns["status"] in OPEN or run.tags or run.columns["notes"] or not run.folder.is_dir():
            continue
        if failed and _is_old_failure(run, older_than_days) and not query.lineage(run.id)["to"]:
            found.append(Waste(run.id, run.folder, size(run.folder), f"run is {run.columns['status']}"))
            continue
        if run.columns["status"] == "completed" and run.paths.model.is_dir() and run.paths.checkpoints.is_dir():
            why = "training is complete and the model is kept"
            found.append(Waste(run.id, run.paths.checkpoints, size(run.paths.checkpoints), why))
        for leftover in _half_written(run.folder):
            found.append(Waste(run.id, leftover, size(leftover), "half-written by a killed process"))
    return found


def remove(waste: list[Waste]) -> int:
    """Remove it; returns the bytes freed. A run whose whole folder goes is dropped from the ledger too."""
    gone = []
    for item in waste:
        if item.path.name == item.run_id:
            gone.append(item.run_id)
            (item.path / "run.json").unlink(missing_ok=True)  # first: a half-removed folder is no run
        if item.path.is_dir():
            shutil.rmtree(item.path)
        else:
            item.path.unlink(missing_ok=True)

    def forget(connection: sqlite3.Connection) -> None:
        for run_id in gone:
            indexing.forget(connection, run_id)

    if gone:
        Ledger().write(forget)
    return sum(item.size for item in waste)


def _half_written(folder: Path) -> list[Path]:
    """What lies under a temporary name: .NAME.tmp, .NAME.tmp.HOST.PID, and .tmp-NAME of a model or checkpoint."""
    named = sorted({*folder.rglob("*.tmp"), *folder.rglob(".*.tmp.*"), *folder.rglob(".tmp-*")})
    return [path for path in named if not any(parent in named for parent in path.parents)]


def size(folder: Path) -> int:
    """Bytes of a file, or below a folder."""
    if folder.is_file():
        return folder.stat().st_size
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def _is_old_failure(run: RunRecord, days: float) -> bool:
    if run.columns["status"] not in FAILURES:
        return False
    last = run.columns["ended_at"] or run.columns["created_at"]
    return time.time() - datetime.fromisoformat(last).timestamp() > days * 86400
