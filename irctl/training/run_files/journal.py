"""metrics.jsonl: what a worker says about training, one JSON object a line; the launcher reads it. Imports no torch.

Rows with `name` are measurements, as the ledger takes them. Rows with `event` are: warn (message), error (kind,
message, hint, exit_code), plan (steps, step, inputs, epochs: how they are filled), estimate (seconds from the step
named to the last of steps; evaluations: whether they are in it), encoding (texts: what a frozen model is to encode),
stopping (step under way, seconds that it still takes, whether it is given up, whether none was begun yet, step saved),
stopped (step), mine (epochs, step: negatives are wanted), negatives (first_batch: of each term of the loss how many a
query has, and how many are listed), regularizers (shares: what each has of the first step's gradient; rows), done (the
trained model). `launcher` is the start that a row belongs to: a worker whose launcher was killed may still write when
the next launcher reads.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from irctl.ledger.files import run_folder as files
from irctl.ledger.files.secrets import Masker
from irctl.paths import RunPaths

LAUNCHER = "IRCTL_LAUNCH"
"""Environment of a worker: the start that it belongs to."""


class TrainingJournal:
    """Appends; every process may write, a line at a time. dataset: the ledger's name of what dev scores are of."""

    def __init__(self, paths: RunPaths, dataset: str = "") -> None:
        self._masker, self._launcher = Masker((), os.environ), os.environ.get(LAUNCHER, "")
        self.paths, self.dataset = paths, self._masker.text(dataset)

    def step(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Loss and its company at one step."""
        files.append_metrics(self.paths, values, step=step, epoch=epoch, launcher=self._launcher)

    def dev(self, step: int, epoch: float, values: Mapping[str, float], split: str) -> None:
        """Scores on the development split."""
        place = {"dataset": self.dataset, "split": split, "launcher": self._launcher}
        files.append_metrics(self.paths, values, **place, step=step, epoch=epoch)

    def event(self, event: str, **row: Any) -> None:
        said: dict[str, Any] = {k: self._masker.text(str(row[k])) for k in ("message", "hint") if k in row}
        of = {"launcher": self._launcher} if self._launcher else {}
        files.append_lines(self.paths.metrics, {"event": event, **row, **said, **of})


class Follower:
    """Reads the lines that were added since the last look; half a line waits for its end.

    launcher: leave out the rows of others. The name itself is not part of a row as it is given.
    """

    def __init__(self, path: Path, *, from_end: bool = False, launcher: str = "") -> None:
        self.path, self.launcher = path, launcher
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
                by = row.pop("launcher", "")
                if not by or self.launcher in ("", by):
                    yield row


def events(path: Path) -> list[dict[str, Any]]:
    """Event rows in the order of writing."""
    return [row for row in Follower(path).rows() if "event" in row]


def steps(path: Path) -> dict[int, dict[str, float]]:
    """step -> name -> value. A step trained twice, because a killed run went back to a checkpoint, counts once."""
    values_at: dict[int, dict[str, float]] = {}
    for row in Follower(path).rows():
        if "name" in row and row.get("step") and not row.get("split"):
            values_at.setdefault(int(row["step"]), {})[row["name"]] = row["value"]
    return values_at


def step_seconds(path: Path) -> list[float]:
    """Seconds a step, between neighbouring logged steps of one launcher: what lies between two launchers is a break."""
    found, last = [], None
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        row = _parsed(line) or {}
        if row.get("name") == "loss" and row.get("step") and "at" in row:
            now = row.get("launcher", ""), int(row["step"]), datetime.fromisoformat(row["at"])
            if last is not None and last[0] == now[0] and last[1] < now[1]:
                found.append((now[2] - last[2]).total_seconds() / (now[1] - last[1]))
            last = now
    return found


def last_measures(path: Path) -> dict[str, float]:
    """What a method measures besides its loss, and the terms of the loss, as logged last; empty where it does not."""
    at = steps(path)
    last = (
        {n: v for n, v in at[max(at)].items() if n not in ("loss", "lr", "grad_norm") and not n.startswith("lr.")}
        if at
        else {}
    )
    return last if any(not name.startswith("loss.") for name in last) else {}


def dev(path: Path, measure: str) -> dict[int, float]:
    """step -> value of a measure on the development split; step 0 is the untrained model."""
    return {
        int(row.get("step") or 0): row["value"]
        for row in Follower(path).rows()
        if row.get("name") == measure and row.get("split")
    }


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:  # the torn line of a killed writer
        return None
    return row if isinstance(row, dict) else None
