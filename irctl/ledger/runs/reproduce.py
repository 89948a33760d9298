"""What it takes to do a run again: its command, its settings file, and how this checkout and environment differ."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from irctl import hashing
from irctl.command_line import CommandLine, Read
from irctl.errors import ConfigError, DataError
from irctl.ledger import query
from irctl.ledger.database import indexing
from irctl.ledger.files import surroundings
from irctl.ledger.query import RunRecord

TAKEN = "taken"
"""Code of the event that says, in words of the command line, what a run took when its command named nothing."""
WHOLE_FILES = ("run_file", "negatives")
"""Kinds of input that are known by the hash of their bytes."""
WRITERS = (
    "SELECT r.id FROM artifacts o JOIN runs r ON r.id = o.run_id WHERE o.role = 'out' AND o.kind = 'run_file' "
    f"AND o.sha256 = ?1 ORDER BY {indexing.IS_AT.format('?2')} DESC, r.created_at DESC, r.id DESC"
)
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
        command = _pin(run, read(argv), read)
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


def _pin(run: RunRecord, line: CommandLine, read: Read) -> CommandLine:
    """The line with `latest` as the run or path that it meant, and with what was taken when nothing was named."""
    sources = _sources(run)

    def resolve(name: str, given: str) -> str:
        return sources.get(name, given) if given == "latest" or given.startswith("latest:") else given

    options = (replace(o, value=resolve(o.name, o.value)) if o.value is not None else o for o in line.options)
    said = next((e["msg"] for e in query.events(run.id) if e["code"] == TAKEN), "")
    taken = read((*line.command, *shlex.split(said)))
    arguments = tuple(resolve("", a) for a in line.arguments)
    return replace(line, options=(*taken.options, *options), arguments=(*taken.arguments, *arguments))


def _sources(run: RunRecord) -> dict[str, str]:
    """What was measured or searched, by the option that names it; by "" the run file, or the run that wrote it."""
    by_option: dict[str, str] = {}
    for a in query.artifacts(run, role="in"):
        if a["kind"] == "run_file":
            writers = [f["id"] for f in query.rows(WRITERS, (a["sha256"], a["path"]))]
            by_option[""] = str(writers[0]) if writers else str(a["path"])
        elif a["kind"] in ("bundle", "embeddings"):
            by_option["--index"] = str(a["path"])
        elif a["kind"] == "model":
            by_option["--model"] = str(run.columns["model"] or a["path"])
    return by_option


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
