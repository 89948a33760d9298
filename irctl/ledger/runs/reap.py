"""Runs whose process has gone without a word: found by process table, heartbeat and scheduler, marked, not deleted."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

from irctl import paths
from irctl.errors import DataError
from irctl.ledger import query
from irctl.ledger.database import indexing
from irctl.ledger.database.publish import publish
from irctl.ledger.database.store import warn_once
from irctl.ledger.files import identity, run_json
from irctl.ledger.files import run_folder as files
from irctl.paths import RunPaths

SACCT_TIMEOUT_S = 10.0
NOT_ENDED = "rowid IN (SELECT rowid FROM runs WHERE status IN ('running', 'queued'))"
"""A condition that an index answers; that of the inner SELECT alone would read every run whole."""
# What a scheduler says of a job -> (status, error_kind); states that are not here are no end.
SLURM_ENDS = {
    "OUT_OF_MEMORY": ("killed", "OutOfMemory"),
    "TIMEOUT": ("killed", "Timeout"),
    "DEADLINE": ("killed", "Timeout"),
    "PREEMPTED": ("preempted", "Preempted"),
    "NODE_FAIL": ("lost", "NodeFail"),
    "BOOT_FAIL": ("lost", "NodeFail"),
    "CANCELLED": ("interrupted", "Cancelled"),
    "FAILED": ("failed", "JobFailed"),
    "COMPLETED": ("lost", "Lost"),  # the job ended well, but the run never said so
}
SLURM_ALIVE = ("PENDING", "RUNNING", "REQUEUED", "SUSPENDED", "CONFIGURING", "COMPLETING", "RESIZING")


def reap(*, now: float | None = None) -> list[str]:
    """Mark running runs whose process is gone; returns their ids. `now` in seconds since 1970."""
    candidates = query.select(NOT_ENDED, ())
    return [run.id for run in candidates if _reap(run.folder, now)]


def _reap(folder: Path, now: float | None) -> bool:
    at = RunPaths(folder)
    try:
        record = run_json.read(folder)  # the folder may know more than the ledger
    except DataError as e:
        warn_once(str(e))
        return False
    end = _end(record, now)
    if end is None:
        if record["status"] not in ("running", "queued"):
            publish(folder)
        return False
    status, kind, message = end
    ended = record.get("heartbeat_at") or record.get("started_at")
    record.update(status=status, error_kind=kind, error_msg=message, ended_at=ended)
    if ended and record.get("started_at") and record.get("duration_s") is None:
        lasted = datetime.fromisoformat(ended) - datetime.fromisoformat(record["started_at"])
        record["duration_s"] = round(lasted.total_seconds(), 3)
    files.append_lines(at.events, {"at": files.utc_now(), "level": "error", "code": status, "msg": message})
    files.write_json(at.run_json, record)
    if reason := publish(folder, indexing.PARTS):
        warn_once(f"ledger not written ({reason}); {at.run_json} has it", paths.ledger())
    return True


def _end(record: dict[str, Any], now: float | None) -> tuple[str, str, str] | None:
    """(status, error kind, message) of a run that is over, None for one that is alive or closed."""
    if record["status"] == "queued":
        state = _slurm_state(record)
        if not record.get("slurm_job_id") and not identity.is_alive(record, now=now):
            return "lost", "Lost", "the process that submitted it is gone, and no job was noted"
        return (*SLURM_ENDS[state], f"the scheduler says {state}") if state in SLURM_ENDS else None
    if record["status"] != "running" or identity.is_alive(record, now=now):
        return None
    state = _slurm_state(record)
    if state in SLURM_ALIVE:
        return None
    if state in SLURM_ENDS and state != "COMPLETED":
        return (*SLURM_ENDS[state], f"the scheduler says {state}")
    beat = record.get("heartbeat_at") or "none"
    return "lost", "Lost", f"process {record.get('pid')} on {record.get('host')} is gone; last heartbeat {beat}"


def _slurm_state(record: dict[str, Any]) -> str:
    """First word of the job's state as `sacct` tells it, or '' without a job or without sacct."""
    job = record.get("slurm_job_id")
    if not job or not shutil.which("sacct"):
        return ""
    task = record.get("slurm_array_task_id")
    one = f"{job}_{task}" if task is not None else str(job)
    command = ["sacct", "-j", one, "--noheader", "--allocations", "--parsable2", "--format=State"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SACCT_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    words = done.stdout.split()  # 'CANCELLED by 1000'
    return words[0].rstrip("+") if words else ""
