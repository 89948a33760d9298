"""What the page's script reads: for every number its runs, their commands and hashes, its tests, its values by query.

Packed with zlib and base64, which every browser of 2023 and later unpacks: a ledger's thousands of runs repeat the same
settings. Values by query are float64, whole; they stop at MOST_VALUES, and what is left out is named.
"""

from __future__ import annotations

import base64
import json
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from irctl.errors import DataError
from irctl.reports.comparisons import PerQuery
from irctl.reports.page.intervals import Interval, of_cell
from irctl.reports.records import Record
from irctl.reports.table import Cell, Table

SCHEMA = "irctl/page/1"
MOST_VALUES = 150_000
"""Values by query in one page: 8 bytes each before packing, 1.6 MB at most after it."""


@dataclass(frozen=True, kw_only=True)
class RunDetail:
    """A run as the panel shows it. line: its command. href: its folder, from the page. inputs: (kind, name, sha256).

    settings: (key, value, origin) of those not at their default. above: ids of the runs it stands on, nearest first.
    """

    id: str
    command: str
    line: str
    href: str
    settings: tuple[tuple[str, str, str], ...] = ()
    commit: str = ""
    dirty: bool = False
    dataset: str = ""
    dataset_sha256: str = ""
    model: str = ""
    model_sha256: str = ""
    seed: int | None = None
    inputs: tuple[tuple[str, str, str], ...] = ()
    above: tuple[str, ...] = ()


def write(
    tables: Sequence[Table],
    runs: Mapping[str, RunDetail],
    per_query: PerQuery,
    data: Sequence[str],
    mask: Callable[[str], str],
) -> tuple[str, list[str]]:
    """(the payload as JSON that may stand in a script element, why values by query of some runs are not in it).

    data: CSV of the figures. mask: hides secrets.
    """
    numbers = {run: i for i, run in enumerate(runs)}
    kept = _Values(numbers, per_query)
    packed = {
        "runs": [vars(r) | {"above": [numbers[a] for a in r.above if a in numbers]} for r in runs.values()],
        "tables": [_table(t, numbers, kept) for t in tables],
        "queries": list(map(list, kept.queries)),
        "series": kept.series,
        "figures": list(data),
    }
    text = json.dumps(packed, ensure_ascii=False, separators=(",", ":"))
    packed_text = {"packed": pack(mask(text).encode()), "values": pack(kept.numbers.tobytes())}
    return json.dumps({"schema": SCHEMA, **packed_text}), list(kept.unread.values())


def pack(content: bytes) -> str:
    """zlib, then base64."""
    return base64.b64encode(zlib.compress(content, 9)).decode()


def _table(table: Table, numbers: Mapping[str, int], kept: _Values) -> dict[str, Any]:
    """cells: [runs, series, runs whose values are left out, tests in words, what it is computed with]."""
    tested = of_cell(table)
    return {
        "rows": [row.label for row in table.rows],
        "columns": [c.header for c in table.columns],
        "cells": [
            [_cell(cell, numbers, kept, tested(row, c)) for c, cell in zip(table.columns, row.cells, strict=True)]
            for row in table.rows
        ],
    }


def _cell(cell: Cell, numbers: Mapping[str, int], kept: _Values, tests: Sequence[Interval]) -> list[Any]:
    found, left_out = kept.add(cell.records)
    runs = [numbers[run] for run in dict.fromkeys(cell.runs) if run in numbers]
    return [runs, found, left_out, [t.line for t in tests], [r.line for r in cell.over]]


@dataclass
class _Values:
    """Series of values by query, each stored once, their query ids once a set of them."""

    runs: Mapping[str, int]
    per_query: PerQuery
    numbers: array[float] = field(default_factory=lambda: array("d"))
    series: list[dict[str, Any]] = field(default_factory=list)
    queries: dict[tuple[str, ...], int] = field(default_factory=dict)
    known: dict[tuple[str, ...], int | None] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)  # run -> why its file cannot be read
    is_full: bool = False

    def add(self, records: Sequence[Record]) -> tuple[list[int], list[int]]:
        """(series of these records, runs whose values are left out)."""
        found, left_out = [], []
        for r in records:
            key = (r.run_id, r.part, *r.cell)
            if key not in self.known:
                self.known[key] = self._store(r)
            number = self.known[key]
            if number is not None:
                found.append(number)
            elif self.is_full and r.run_id in self.runs:
                left_out.append(self.runs[r.run_id])
        return found, left_out

    def _store(self, r: Record) -> int | None:
        """The number of a new series; None where none was kept, or there is no more room."""
        if self.is_full or r.run_id not in self.runs or r.run_id in self.unread:
            return None
        try:
            values = self.per_query(r)
        except DataError as e:  # the numbers of the page stand without them
            self.unread[r.run_id] = str(e)
            return None
        if not values:
            return None
        if len(self.numbers) + len(values) > MOST_VALUES:
            self.is_full = True
            return None
        split = f"{r.split}: {r.part}" if r.part else r.split
        ids = self.queries.setdefault(tuple(values), len(self.queries))
        one = {"run": self.runs[r.run_id], "dataset": r.dataset, "split": split, "measure": r.measure}
        self.series.append(one | {"queries": ids, "at": len(self.numbers)})
        self.numbers.extend(values.values())
        return len(self.series) - 1
