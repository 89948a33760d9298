"""Watching a run: new lines of its log, events and metrics, until it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from irctl.ledger.files import identity, run_json
from irctl.ledger.query import RunRecord

POLL_S = 1.0


def follow(run: RunRecord, *, poll_s: float = POLL_S) -> Iterator[str]:
    """Lines as they appear, those already there first; ends when the run has."""
    at = run.paths
    read: dict[Path, int] = {}
    while True:
        record = run_json.read(run.folder)  # before the files: what was written before the end is still shown
        for path in (at.log, at.events, at.metrics):
            for line in _new_lines(path, read):
                yield line if path == at.log else _readable(line)
        if record["status"] not in ("running", "queued"):
            return
        if record["status"] == "running" and not identity.is_alive(record):
            yield f"process {record['pid']} on {record['host']} is gone; irctl runs reap marks the run"
            return
        time.sleep(poll_s)


def _new_lines(path: Path, read: dict[Path, int]) -> list[str]:
    """Whole lines after those given before; half a line waits until it is whole."""
    if not path.is_file():
        return []
    with path.open("rb") as f:
        f.seek(read.get(path, 0))
        text = f.read()
    whole = text[: text.rfind(b"\n") + 1]
    read[path] = read.get(path, 0) + len(whole)
    return whole.decode(errors="replace").splitlines()


def _readable(line: str) -> str:
    try:
        row = json.loads(line)
    except ValueError:
        return line
    if "name" in row:
        step = f" step {row['step']}" if "step" in row else ""
        return f"{row.get('at', '')}{step} {row['name']} = {row['value']}"
    return f"{row.get('at', '')} {row.get('level', '')} {row.get('code', '')}: {row.get('msg', '')}"
