"""Reading run.json: what it must hold to be a run of irctl. A file of that name alone makes no run folder."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from irctl import tables
from irctl.errors import DataError
from irctl.ledger.files.identity import ID_PATTERN
from irctl.ledger.files.run_columns import INTEGERS, REALS, RUN_COLUMNS, STATUSES, TIMES

NAME = "run.json"
HINT = "Mend or remove that file; irctl runs reindex takes the run in again"
ROLES = ("in", "out")
_ARTIFACT: dict[str, Any] = {"role": str, "kind": str, "path": str, "sha256?": str, "format?": str}
_ARTIFACT |= {"size?": int, "mtime_ns?": int, "n_rows?": int, "dim?": int}
_COLUMNS = {f"{c}?": int if c in INTEGERS else float if c in REALS else str for c in RUN_COLUMNS}
SHAPE = _COLUMNS | {"id": str, "command": str, "status": str, "created_at": str, "argv?": [str]}
SHAPE |= {"artifacts?": [_ARTIFACT]}


def read(folder: Path) -> dict[str, Any]:
    """The record of the run in a folder. DataError names the file and what in it irctl would not have written."""
    path = folder / NAME
    record = tables.json_object(path, hint=HINT)
    check(record, str(path))
    return {"artifacts": [], **record}


def check(record: Mapping[str, Any], where: str) -> None:
    """DataError for a record with values that irctl does not write: of other types, no id, no time, a path by dots."""
    tables.check(record, SHAPE, where, hint=HINT)

    def refuse(key: str, expected: str, found: object) -> None:
        raise DataError(f"{where}: {key}: expected {expected}, found {tables.shown(found)}", hint=HINT)

    if not ID_PATTERN.fullmatch(record["id"]):
        refuse("id", "one such as 20260731-142233417-k3f9", record["id"])
    if not record["command"]:
        refuse("command", "a command of irctl", record["command"])
    if record["status"] not in STATUSES:
        refuse("status", f"one of {', '.join(STATUSES)}", record["status"])
    for column in TIMES:
        if not _is_time(record.get(column) or record["created_at"]):
            refuse(column, "a time with its zone", record.get(column) or record["created_at"])
    if record.get("artifacts", ()) is None:
        refuse("artifacts", "a list", None)
    for artifact in record.get("artifacts", ()):
        path = PurePosixPath(artifact["path"])
        if artifact["role"] not in ROLES:
            refuse("artifacts", "the role in or out", artifact["role"])
        if "\0" in artifact["path"] or (not path.is_absolute() and ".." in path.parts):
            refuse("artifacts", "a path in the run folder or an absolute one", artifact["path"])


def is_run(folder: Path) -> bool:
    """Whether a run of irctl lies here, sound or not; other programs keep a run.json too."""
    return bool(claimed_id(folder))


def claimed_id(folder: Path) -> str:
    """What run.json there gives as its id, unchecked; empty if no run of irctl lies here.

    It is one by an id of irctl's form, or, where that is spoilt, by its columns or the folder's name.
    """
    path = folder / NAME
    if not path.is_file():
        return ""
    try:
        record = tables.json_object(path)
    except DataError:
        return folder.name if ID_PATTERN.fullmatch(folder.name) else ""
    ours = ID_PATTERN.fullmatch(str(record.get("id"))) or {"command", "status", "argv"} <= set(record)
    return str(record.get("id")) if ours else ""


def find_above(path: Path) -> Path | None:
    """The innermost folder above a file that holds a sound run of irctl."""
    for folder in path.resolve().parents:
        if (folder / NAME).is_file():
            with suppress(DataError):
                read(folder)
                return folder
    return None


def _is_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
