"""Which run a command line continues: the one named, or its own newest unfinished one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from irctl import errors
from irctl.command_line import CommandLine, Read, Role
from irctl.commands.frame import absolute
from irctl.commands.frame.options import Options
from irctl.commands.frame.reading import reader

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord


UNFINISHED = ("killed", "preempted", "interrupted", "lost", "failed")
"""Statuses of a run that the same command continues."""


def find_named_run(command: str, options: Options, check_resume: Callable[[Path], None] | None) -> Path:
    """Folder of the run that --resume names. Raises DataError where there is none, ConfigError for another command."""
    from irctl.ledger import query

    record = query.find_run(options.resume, command=command)
    if record.columns.get("command") != command:
        raise errors.ConfigError(
            f"--resume {options.resume}: is a run of '{record.columns.get('command')}', not of '{command}'",
            hint=f"latest:{command} is the newest of those",
        )
    if check_resume and not is_own_job(record.folder):
        check_resume(record.folder)
    return record.folder


def resumable(
    command: str, options: Options, config_sha256: str, check_resume: Callable[[Path], None] | None
) -> Path | None:
    """Folder of the run to continue: the one named by --resume, else this command line's newest unfinished one.

    Lines are compared by what they name, wherever each was typed: a relative path means another file in another folder.
    A requeued Slurm job takes its own run, whatever others with the same line have left. None with --resume none.
    """
    from irctl import slurm
    from irctl.ledger import query
    from irctl.ledger.runs import reap

    reap.reap()
    if options.resume == "none":
        return None
    if options.resume:
        return find_named_run(command, options, check_resume)
    read = reader(options.root)
    mine = absolute.of_line(read(options.argv), Path.cwd()).without(Role.DISPLAY)
    same = [
        r
        for r in query.list_runs(command=command)
        if r.columns.get("config_sha256") == config_sha256
        and _stored_line(r, read) == mine
        # tasks of one array share their command line; each continues its own run
        and r.columns.get("slurm_array_task_id") == slurm.job().get("slurm_array_task_id")
    ]
    for record in [r for r in same if slurm.is_restart_of(r.columns)] or same:
        status = record.columns.get("status")
        if status == "completed":
            return None
        if status in UNFINISHED or (status == "running" and slurm.is_restart_of(record.columns)):
            return Path(record.folder)
    return None


def is_own_job(folder: Path) -> bool:
    """Whether a run is the one that this Slurm job was submitted for: it may come back before its first checkpoint."""
    from irctl import slurm
    from irctl.ledger.files import run_json

    if not slurm.job() or not run_json.is_run(folder):
        return False
    record = run_json.read(folder)
    return record.get("status") == "queued" or slurm.is_own(record)


def _stored_line(run: RunRecord, read: Read) -> CommandLine | None:
    """What a run's command line does, whatever it prints; None for one that this irctl does not know."""
    try:
        line = read(json.loads(run.columns.get("argv_json") or "[]"))
        return absolute.of_line(line, Path(run.columns.get("cwd") or "/")).without(Role.DISPLAY)
    except errors.ConfigError:
        return None
