"""metrics.jsonl: what a worker says about training, one JSON object a line; the launcher reads it. Imports no torch.

Lines with `step` are measurements. Lines with `event` are: warn (message), error (kind, message, hint, exit_code),
dev (scores on the development split), measured (temperatures), done (the trained model) and stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Journal:
    """Appends; every process may write, a line at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_file() and not path.read_bytes().endswith(b"\n") and path.stat().st_size:
            self._write("\n")  # a killed writer left half a line

    def add(self, **row: Any) -> None:
        self._write(json.dumps(row) + "\n")

    def event(self, event: str, **row: Any) -> None:
        self.add(event=event, **row)

    def _write(self, text: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as f:
            f.write(text)


class Follower:
    """Reads the lines that were added since the last look; half a line waits for its end."""

    def __init__(self, path: Path, *, from_end: bool = False) -> None:
        self.path = path
        self._at = path.stat().st_size if from_end and path.is_file() else 0

    def rows(self) -> Iterator[dict[str, Any]]:
        if not self.path.is_file():
            return
        with self.path.open("rb") as f:
            f.seek(self._at)
            block = f.read()
        end = block.rfind(b"\n") + 1
        self._at += end
        for line in block[:end].splitlines():
            if (row := _parsed(line)) is not None:
                yield row


def read(path: Path) -> list[dict[str, Any]]:
    """All rows. Of a step trained twice, because a killed run went back to a checkpoint, the later row counts."""
    rows = list(Follower(path).rows())
    last = {row["step"]: i for i, row in enumerate(rows) if "event" not in row and "step" in row}
    return [row for i, row in enumerate(rows) if "event" in row or last.get(row.get("step", -1), i) == i]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:  # the torn line of a killed writer
        return None
    return row if isinstance(row, dict) else None
