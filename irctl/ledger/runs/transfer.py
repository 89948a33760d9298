"""Runs as one JSON-lines file, to carry between machines: small files of the folder and values of evaluations.

Reading such a file twice, or files that overlap, gives each run once: what is here already stays as it is.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from irctl import paths, tables
from irctl.errors import DataError
from irctl.files import write_atomic, write_out
from irctl.ledger.database.publish import publish
from irctl.ledger.database.store import warn_once
from irctl.ledger.files import identity, run_json
from irctl.ledger.query import RunRecord

FORMAT = "irctl-run/1"
CARRIED = (
    "run.json",
    "config.json",
    "launch.json",
    "events.jsonl",
    "metrics.jsonl",
    "out/eval.json",
    "out/search.json",
)
CARRIED_BYTES = ("out/per_query.parquet", "out/best.parquet")
"""Carried in base64: what reports and paired tests read."""


def export_runs(runs: Iterable[RunRecord], target: Path) -> int:
    """Write the runs to a file that appears whole or not at all; returns how many."""
    wanted = list(runs)

    def write(file: Any) -> None:
        for run in wanted:
            file.write(json.dumps({"format": FORMAT, "id": run.id, "files": _texts(run.folder)}).encode() + b"\n")

    write_out(target, write)
    return len(wanted)


def import_runs(source: Path) -> tuple[list[str], list[str]]:
    """(ids taken over, ids that were here already). Raises DataError naming the line of a malformed file."""
    if not source.is_file():
        found = "expected a file, found a folder" if source.is_dir() else "no such file"
        raise DataError(f"{source}: {found}", hint="irctl runs export --to FILE writes one")
    taken, present = [], []
    with source.open("rb") as f:
        for number, line in enumerate(f, 1):
            row = _parse(line, f"{source}:{number}")
            folder = paths.runs() / row["id"]
            if (folder / "run.json").is_file():
                present.append(row["id"])
                continue
            folder.mkdir(parents=True, exist_ok=True)
            for name in sorted(row["files"], key=lambda n: n == "run.json"):  # run.json last: it makes it a run
                write_atomic(folder / name, _bytes(name, row["files"][name], f"{source}:{number}"))
            if reason := publish(folder):
                warn_once(f"ledger not written ({reason}); {folder} has the run", paths.ledger())
            taken.append(row["id"])
    return taken, present


def _texts(folder: Path) -> dict[str, str]:
    text_of = {name: _text(folder / name) for name in CARRIED if (folder / name).is_file()}
    for name in CARRIED_BYTES:
        if (folder / name).is_file():
            text_of[name] = base64.b64encode((folder / name).read_bytes()).decode()
    return text_of


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError as e:
        raise DataError(f"{path}: expected UTF-8: {e}") from None


def _bytes(name: str, text: str, where: str) -> bytes:
    if name not in CARRIED_BYTES:
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as e:
        raise DataError(f"{where}: {name}: {e}") from None


def _parse(line: bytes, where: str) -> dict[str, Any]:
    """One exported run, with nothing in it that could name a file outside of its folder."""
    row = tables.parse_json(line.rstrip(), where)
    if not isinstance(row, dict) or row.get("format") != FORMAT:
        raise DataError(f"{where}: expected a line of format {FORMAT}", hint="irctl runs export writes such files")
    if not identity.ID_PATTERN.fullmatch(str(row.get("id"))):
        raise DataError(f"{where}: expected a run id, found {row.get('id')!r}")
    given = row.get("files")
    if not isinstance(given, dict) or "run.json" not in given or not set(given) <= {*CARRIED, *CARRIED_BYTES}:
        known = ", ".join((*CARRIED, *CARRIED_BYTES))
        raise DataError(f"{where}: expected files among {known}, run.json included")
    tables.check(given, dict.fromkeys(given, str), f"{where}: files")
    record = tables.parse_json(given["run.json"], f"{where}: run.json")
    if not isinstance(record, dict) or record.get("id") != row["id"]:
        raise DataError(f"{where}: its run.json is not one of run {row['id']}")
    run_json.check(record, f"{where}: run.json")
    return row
