"""Disk space that runs no longer need: training state of completed runs, leftovers of killed ones, old failures.

Only what lies in folders of this project's runs is looked at, and no link is followed: what is elsewhere is another's.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from irctl import paths
from irctl.errors import DataError, PartlyDone
from irctl.ledger import query
from irctl.ledger.database import indexing
from irctl.ledger.database.store import Ledger, reason
from irctl.ledger.files import run_json
from irctl.ledger.query import RunRecord

OPEN = ("running", "queued")
FAILURES = ("failed", "killed", "lost", "interrupted")


@dataclass(frozen=True)
class Waste:
    """Something that can go: the run it belongs to, what it is, and why."""

    run_id: str
    path: Path
    size: int
    why: str
    is_run: bool = False  # the whole folder goes


def find(*, failed: bool = False, older_than_days: float = 30.0) -> list[Waste]:
    """What could be removed. Tagged runs, runs with a note, and runs that others were made from keep everything.

    failed: also whole folders of runs that ended badly, more than `older_than_days` ago.
    """
    wastes = []
    for run in query.list_runs():
        if run.columns["status"] in OPEN or run.tags or run.columns["notes"] or not _is_here(run.folder):
            continue
        if failed and _is_old_failure(run, older_than_days) and not query.lineage(run.id)["to"]:
            wastes.append(Waste(run.id, run.folder, size(run.folder), f"run is {run.columns['status']}", is_run=True))
            continue
        kept = run.paths.checkpoints
        if (
            run.columns["status"] == "completed"
            and run.paths.model.is_dir()
            and kept.is_dir()
            and not kept.is_symlink()
        ):
            why = "training is complete and the model is kept"
            wastes.append(Waste(run.id, kept, size(kept), why))
        for leftover in _find_half_written(run.folder):
            wastes.append(Waste(run.id, leftover, size(leftover), "half-written by a killed process"))
    return wastes


def remove(waste: list[Waste]) -> int:
    """Remove it; returns the bytes freed. A run whose whole folder goes is dropped from the ledger too.

    Raises PartlyDone, once all else is gone, if something could not be removed; DataError if the ledger is damaged.
    """
    freed, failed = 0, []
    for item in waste:
        try:
            if item.is_run:
                _end_run(item)
            if item.path.is_dir():
                shutil.rmtree(item.path)
            else:
                item.path.unlink(missing_ok=True)
            freed += item.size
        except OSError as e:
            failed.append(f"{e.filename or item.path}: {e.strerror}")
        except sqlite3.Error as e:
            raise DataError(f"{paths.ledger()}: {reason(e)}", hint="Nothing was removed of the run") from None
    if failed:
        raise PartlyDone(
            f"{len(failed)} of {len(waste)} places could not be removed, such as {failed[0]}",
            hint=f"{freed / 2**20:.1f} MiB are freed; what is left of those folders is no run any more, remove it",
        )
    return freed


def _end_run(item: Waste) -> None:
    """Make a run's folder one that is no run, in the ledger and on the disk together: both or neither."""
    record, aside = item.path / run_json.NAME, item.path / f".{run_json.NAME}.tmp"

    def forget(connection: sqlite3.Connection) -> None:
        indexing.forget(connection, item.run_id)
        if record.exists():  # the transaction may be done again
            record.replace(aside)  # before the commit: if it fails, the rows stay

    try:
        Ledger().write(forget)
    except BaseException:
        if aside.exists():
            aside.replace(record)
        raise


def _is_here(folder: Path) -> bool:
    """Whether a folder lies among this project's runs, itself and not by a link."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return folder.resolve().parent == paths.runs().resolve()


def _find_half_written(folder: Path) -> list[Path]:
    """What lies under a temporary name: .NAME.tmp, .NAME.tmp.HOST.PID, and .tmp-NAME of a model or checkpoint."""
    named = sorted({*folder.rglob("*.tmp"), *folder.rglob(".*.tmp.*"), *folder.rglob(".tmp-*")})
    own = [path for path in named if not path.is_symlink() and path.resolve().is_relative_to(folder.resolve())]
    return [path for path in own if not any(parent in own for parent in path.parents)]


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
