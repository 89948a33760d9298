"""Files of a run folder: JSON rewritten whole by rename, and lines appended so that a kill costs at most the last one.

No sqlite here: worker processes import this module to append metrics, and must never touch the ledger.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from irctl.files import write_atomic, writing
from irctl.paths import RunPaths


def utc_now() -> str:
    """Now as the ledger writes times: 2026-07-31T14:22:33.417Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_json(path: Path, value: Any) -> None:
    """Replace the file by rename, so that a reader sees the old text or the new, never half of one."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def append_lines(path: Path, *rows: Mapping[str, Any]) -> None:
    """Append rows as JSON lines in one write; whole rows of several processes never mix."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with writing(path), path.open("ab+", buffering=0) as f:  # unbuffered: one write call
        if f.tell() > 0:
            f.seek(-1, os.SEEK_END)
            if f.read(1) != b"\n":  # a killed writer left half a line: do not glue ours to it
                text = "\n" + text
        f.write(text.encode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON-lines file; none if it does not exist. Torn lines, which only a kill leaves, are dropped."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return []
    rows = []
    for line in raw.split(b"\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def append_metric(
    paths: RunPaths,
    name: str,
    value: float,
    *,
    dataset: str = "",
    split: str = "",
    step: int | None = None,
    epoch: float | None = None,
) -> None:
    """One value into metrics.jsonl, from a worker or the launcher."""
    append_metrics(paths, {name: value}, dataset=dataset, split=split, step=step, epoch=epoch)


def append_metrics(
    paths: RunPaths,
    values: Mapping[str, float],
    *,
    dataset: str = "",
    split: str = "",
    step: int | None = None,
    epoch: float | None = None,
    launcher: str = "",
) -> None:
    """Several values of one moment into metrics.jsonl. NaN and infinity are written as null: JSON has neither.

    launcher: the start of a training that they belong to.
    """
    same = {"dataset": dataset, "split": split, "step": step, "epoch": epoch, "at": utc_now(), "launcher": launcher}
    same = {k: v for k, v in same.items() if v not in ("", None)}
    rows = [
        {"name": name, "value": float(value) if math.isfinite(value) else None, **same}
        for name, value in values.items()
    ]
    if rows:
        append_lines(paths.metrics, *rows)
