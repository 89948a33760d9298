"""The first state of a run: a new folder with its settings and surroundings, or an earlier folder taken up again."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from irctl import paths, slurm
from irctl.config import Config
from irctl.errors import DataError, EnvironmentUnfit
from irctl.ledger.database import indexing
from irctl.ledger.files import identity, run_json, surroundings
from irctl.ledger.files import run_folder as files
from irctl.ledger.files.secrets import Masker

ENDED = ("exit_code", "signal", "error_kind", "error_msg", "ended_at")


def create(given: Mapping[str, Any], masker: Masker, config: Config | None) -> dict[str, Any]:
    """A new run folder; returns the run's record with its `folder`. run.json, which makes it a run, is the caller's."""
    folder = _new_folder()
    at = paths.RunPaths(folder)
    now = identity.created_at(folder.name)
    status = given.get("status", "running")
    record = {
        "id": folder.name,
        "status": status,
        "created_at": now,
        **_process(now if status == "running" else None),
        "config_sha256": config.sha256() if config else None,
        **given,
        "argv": masker.argv,
        "artifacts": [],
    }
    if config is not None:
        files.write_json(at.config, masker.value(config.to_json()))
    _write_launch(at, masker)
    files.append_lines(at.events, {"at": now, "level": "info", "code": status, "msg": str(given["command"])})
    return {**record, "folder": folder}


def reopen(folder: Path, given: Mapping[str, Any], masker: Masker, config: Config | None) -> dict[str, Any]:
    """The record of an earlier run, running again: same id, command line and creation; its events say what changed.

    Raises DataError if there is no run in the folder, or if it is still running.
    """
    at = paths.RunPaths(folder)
    if not run_json.is_run(folder):
        raise DataError(f"{folder}: no run there", hint="Drop --resume to start new; irctl runs ls lists runs")
    record = run_json.read(folder)
    # A scheduler that starts the same job again knows that the first one is gone.
    if record["status"] == "running" and not slurm.is_restart_of(record) and identity.is_alive(record):
        raise DataError(
            f"{folder}: still running (process {record['pid']} on {record['host']})",
            hint=f"irctl runs show {record['id']} --follow watches it",
        )
    now = files.utc_now()
    started = record.get("started_at") or now
    kept = {k: v for k, v in given.items() if v not in ("", None)}
    record |= {**dict.fromkeys(ENDED), **kept, "status": "running", **_process(now), "started_at": started}
    files.append_lines(at.events, {"at": now, "level": "info", "code": "resumed", "msg": shlex.join(masker.argv)})
    if config is not None and config.sha256() != record.get("config_sha256"):
        changed = _list_changes(indexing.read_config(at), masker.value(config.to_json()))
        files.append_lines(at.events, {"at": now, "level": "warning", "code": "config", "msg": changed})
        files.write_json(at.config, masker.value(config.to_json()))
        record["config_sha256"] = config.sha256()
    _write_launch(at, masker)
    return {**record, "folder": folder}


def _new_folder() -> Path:
    root = paths.runs()
    try:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            folder = root / identity.new_id()
            with suppress(FileExistsError):  # another process drew the same name in the same millisecond
                folder.mkdir()
                return folder
    except OSError as e:
        raise EnvironmentUnfit(
            f"{root}: cannot make a run folder: {e.strerror}", hint="Set IRCTL_RUNS to a writable folder"
        ) from None


def _process(started_at: str | None) -> dict[str, Any]:
    """Columns of the process that runs it now, its surroundings and its start."""
    env = os.environ
    nodes = env.get("SLURM_NNODES", "")
    return {
        "started_at": started_at,
        "heartbeat_at": started_at,
        **identity.owner(),
        "cwd": str(Path.cwd()),
        "nnodes": int(nodes) if nodes.isdigit() else 1,
        **{"slurm_job_id": None, "slurm_array_task_id": None, "slurm_restart_count": None, **slurm.job()},
        **surroundings.git(Path.cwd()),
        **surroundings.versions(),
    }


def _write_launch(at: paths.RunPaths, masker: Masker) -> None:
    launch = {"argv": masker.argv, "cwd": str(Path.cwd()), "env": masker.env, **surroundings.machine()}
    files.write_json(at.launch, masker.value(launch))


def _list_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    values = {k: (old.get(k, {}).get("value"), new.get(k, {}).get("value")) for k in {**old, **new}}
    return "; ".join(f"{k}: {was!r} -> {now!r}" for k, (was, now) in values.items() if was != now)
