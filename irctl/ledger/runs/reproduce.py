"""What it takes to do a run again: its command, its settings file, and how this checkout and environment differ."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from irctl import hashing
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
REPLACED = {"--recipe": 1, "--config": 1, "--resume": 1, "--tiny": 0}
"""Options that the settings file makes needless, and how many words follow them."""


def recipe(run: RunRecord) -> dict[str, Any]:
    """{command, original, config, checks}: a line to run, and rows {what, then, now, same} for code, packages, inputs.

    The settings file stands for the recipe, so that a recipe that has changed since does not matter; and what was
    the newest then is named, so that a newer one does not matter.
    """
    stored = run.columns
    argv = json.loads(stored["argv_json"] or "[]")
    config = run.paths.config
    command = _pinned(run, argv)
    command = [*_without(command, REPLACED), "--config", str(config)] if config.is_file() else command
    here = surroundings.git(Path.cwd()) | surroundings.versions()
    checks = [
        {"what": k, "then": stored[k], "now": here.get(k), "same": stored[k] == here.get(k)}
        for k in ("git_commit", "git_dirty", "git_diff_sha256", "irctl_version", "python")
    ]
    found = query.rows("SELECT packages_json FROM env WHERE run_id = ?", (run.id,))
    then = json.loads(found[0]["packages_json"]) if found else {}
    now = surroundings.packages()
    for name in then:
        if now.get(name) != then[name]:
            checks.append({"what": f"package {name}", "then": then[name], "now": now.get(name), "same": False})
    checks += _inputs_that_changed(run)
    return {
        "command": shlex.join(command),
        "original": shlex.join(argv),
        "config": str(config) if config.is_file() else None,
        "checks": checks,
    }


def _pinned(run: RunRecord, argv: list[str]) -> list[str]:
    """The words with `latest` as the run or path that it meant, and with what was taken when nothing was named."""
    sources = _sources(run)
    words: list[str] = []
    for word in argv:
        name, sign, value = word.partition("=")
        option = name if sign else words[-1] if words and words[-1].startswith("-") else ""
        given = value if sign else word
        known = sources.get(option) if given == "latest" or given.startswith("latest:") else None
        words.append((f"{name}=" if sign else "") + known if known else word)
    taken = next((e["msg"] for e in query.events(run.id) if e["code"] == TAKEN), "")
    start = next((i + 1 for i, w in enumerate(words) if w == run.columns["command"]), len(words))
    return [*words[:start], *shlex.split(taken), *words[start:]]


def _sources(run: RunRecord) -> dict[str, str]:
    """What was measured or searched, by the option that names it; by "" the run file, or the run that wrote it."""
    found: dict[str, str] = {}
    for a in query.artifacts(run, role="in"):
        if a["kind"] == "run_file":
            made = [f["id"] for f in query.rows(WRITERS, (a["sha256"], a["path"]))]
            found[""] = str(made[0]) if made else str(a["path"])
        elif a["kind"] in ("bundle", "embeddings"):
            found["--index"] = str(a["path"])
        elif a["kind"] == "model":
            found["--model"] = str(run.columns["model"] or a["path"])
    return found


def _inputs_that_changed(run: RunRecord) -> list[dict[str, Any]]:
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
