"""Tags and notes: what people say about a run, kept in its own folder and shown by the ledger."""

from __future__ import annotations

import re

from irctl import paths
from irctl.errors import ConfigError
from irctl.ledger.database.publish import publish
from irctl.ledger.database.store import warn_once
from irctl.ledger.files import run_folder as files
from irctl.ledger.query import RunRecord

_TAG = re.compile(r"[\w][\w.+:-]*")
_BEGINS_ID = re.compile(r"\d{1,8}|\d{8}-\d{0,9}|\d{8}-\d{9}-[0-9a-z]{0,4}")  # of identity.ID_PATTERN


def tag(run: RunRecord, *names: str) -> None:
    """Add tags. Raises ConfigError for one that could not be written on a command line."""
    for name in names:
        if not _TAG.fullmatch(name):
            raise ConfigError(f"tag '{name}': expected letters, digits, . + : - _", hint="For example: paper-table-2")
        is_newest = name == "latest" or name.startswith("latest:")
        if is_newest or _BEGINS_ID.fullmatch(name):
            why = "means the newest run" if is_newest else "reads as the beginning of a run's id"
            raise ConfigError(f"tag '{name}': {why}, so no run could be found by it", hint="For example: paper-table-2")
    _append(run, *(("tag", name) for name in names))


def untag(run: RunRecord, *names: str) -> None:
    """Remove tags; one that the run does not have is ignored."""
    _append(run, *(("untag", name) for name in names))


def note(run: RunRecord, text: str) -> None:
    """Replace the run's note; empty text removes it."""
    _append(run, ("note", text))


def _append(run: RunRecord, *events: tuple[str, str]) -> None:
    now = files.utc_now()
    files.append_lines(run.paths.events, *({"at": now, "level": "info", "code": c, "msg": m} for c, m in events))
    if reason := publish(run.folder, ("events",)):
        warn_once(f"ledger not written ({reason}); the run's folder has it", paths.ledger())
