"""What it takes to do a run again: its command, its settings file, and how this checkout and environment differ."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from irctl import hashing
from irctl.command_line import Read
from irctl.errors import ConfigError, DataError
from irctl.ledger import query, taken
from irctl.ledger.files import surroundings
from irctl.ledger.query import RunRecord

WHOLE_FILES = ("run_file", "negatives")
"""Kinds of input that are known by the hash of their bytes."""
REPLACED = ("--recipe", "--config", "--resume", "--tiny")
"""Options that the settings file makes needless."""


def recipe(run: RunRecord, read: Read) -> dict[str, Any]:
    """{command, original, config, checks}: a line to run, and rows {what, then, now, same} for code, packages, inputs.

    The settings file stands for the recipe, so that a recipe that has changed since does not matter; and what was
    the newest then is named, so that a newer one does not matter.
    """
    stored = run.columns
    argv = json.loads(stored["argv_json"] or "[]")
    config = run.paths.config
    try:
        command = taken.pin(run, read(argv), read, settings=not config.is_file())
    except ConfigError as e:  # the line of an older irctl
        raise DataError(
            f"run {run.id}: its command line is none any more: {e.message}",
            hint=f"irctl {stored['irctl_version']} ran: {shlex.join(argv)}",
        ) from None
    command = command.without(*REPLACED).with_option("--config", str(config)) if config.is_file() else command
    here = surroundings.git(Path.cwd()) | surroundings.versions()
    checks = [
        {"what": k, "then": stored[k], "now": here.get(k), "same": stored[k] == here.get(k)}
        for k in ("git_commit", "git_dirty", "git_diff_sha256", "irctl_version", "python")
    ]
    stored_env = query.rows("SELECT packages_json FROM env WHERE run_id = ?", (run.id,))
    then = json.loads(stored_env[0]["packages_json"]) if stored_env else {}
    now = surroundings.packages()
    for name in then:
        if now.get(name) != then[name]:
            checks.append({"what": f"package {name}", "then": then[name], "now": now.get(name), "same": False})
    checks += _list_changed_inputs(run)
    return {
        "command": str(command),
        "original": shlex.join(argv),
        "config": str(config) if config.is_file() else None,
        "checks": checks,
    }


def _list_changed_inputs(run: RunRecord) -> list[dict[str, Any]]:
    """Files that the run read and that are gone, or have other bytes now; folders are known by keys of their own."""
    changed = []
    for a in query.artifacts(run, role="in"):
        path = Path(a["path"])
        if not path.exists():
            now = None
        elif path.is_file() and a["kind"] in WHOLE_FILES:
            with hashing.like(str(a["sha256"] or "")):
                now = hashing.content(path)
        else:
            continue
        if now != a["sha256"]:
            changed.append({"what": f"input {a['kind']} {path}", "then": a["sha256"], "now": now, "same": False})
    return changed
