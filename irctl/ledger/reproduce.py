"""What it takes to do a run again: its command, its settings file, and how this checkout and environment differ."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from irctl.ledger import facts, query
from irctl.ledger.query import RunRecord

REPLACED = {"--recipe": 1, "--config": 1, "--resume": 1, "--tiny": 0}
"""Options that the settings file makes needless, and how many words follow them."""


def recipe(run: RunRecord) -> dict[str, Any]:
    """{command, original, config, checks}: a line to run, and rows {what, then, now, same} for code and packages.

    The settings file stands for the recipe, so that a recipe that has changed since does not matter.
    """
    stored = run.columns
    argv = json.loads(stored["argv_json"] or "[]")
    config = run.paths.config
    command = [*_without(argv, REPLACED), "--config", str(config)] if config.is_file() else argv
    here = facts.git(Path.cwd()) | facts.versions()
    checks = [
        {"what": k, "then": stored[k], "now": here.get(k), "same": stored[k] == here.get(k)}
        for k in ("git_commit", "git_dirty", "git_diff_sha256", "irctl_version", "python")
    ]
    found = query.rows("SELECT packages_json FROM env WHERE run_id = ?", (run.id,))
    then = json.loads(found[0]["packages_json"]) if found else {}
    now = facts.packages()
    for name in then:
        if now.get(name) != then[name]:
            checks.append({"what": f"package {name}", "then": then[name], "now": now.get(name), "same": False})
    return {
        "command": shlex.join(command),
        "original": shlex.join(argv),
        "config": str(config) if config.is_file() else None,
        "checks": checks,
    }


def _without(argv: list[str], options: dict[str, int]) -> list[str]:
    kept: list[str] = []
    skip = 0
    for word in argv:
        if skip:
            skip -= 1
        elif word in options:
            skip = options[word]
        elif word.split("=")[0] not in options:
            kept.append(word)
    return kept
