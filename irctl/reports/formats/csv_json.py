"""Tables for programs: CSV with unrounded values, and JSON with everything the model holds."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from irctl.reports.columns import Column
from irctl.reports.formats.formulas import make_inert
from irctl.reports.significance import Comparison
from irctl.reports.table import MISSING, Table

TESTED = ("delta", "ci_low", "ci_high", "p_raw", "p_adj", "family")


def render_csv(tables: Sequence[Table], *, ids: bool = False) -> str:
    """One row a system and table, full precision, empty where missing; ids adds the runs behind each row.

    The number of queries is a column: `queries` of tables of one data set, else one after each data set's. Measures
    tested against a baseline are followed by the difference, its interval, p, corrected p and its family.
    A column of words, such as a similarity, is one in which no row has a number.
    """
    keys = list(dict.fromkeys(c.key for t in tables for c in t.columns))
    tested = {c.key for t in tables for c in t.columns if any(_is_of(one, c) for one in _against_one(t))}
    counts = {c.key: _count_column(c, t) for t in tables for c in t.columns if c.kind == "measure"}
    wide = [
        name
        for key in keys
        for name in (key, *(f"{key} {part}" for part in TESTED if key in tested), *filter(None, [counts.get(key)]))
    ]
    wide = list(dict.fromkeys(wide))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["table", "system", *map(make_inert, wide), *(["runs"] if ids else [])])
    for table in tables:
        of_numbers = {
            c.key for i, c in enumerate(table.columns) if any(r.cells[i].value is not None for r in table.rows)
        }
        for row in table.rows:
            values: dict[str, float | int | str | None] = {
                c.key: cell.text
                if c.kind == "text" and c.key not in of_numbers and cell.text != MISSING
                else cell.value
                for c, cell in zip(table.columns, row.cells, strict=True)
            }
            of_count: dict[str, set[int]] = {}
            for c, cell in zip(table.columns, row.cells, strict=True):
                if c.key in counts and cell.queries is not None:
                    of_count.setdefault(counts[c.key], set()).add(cell.queries)
            values |= {name: ", ".join(map(str, sorted(found))) for name, found in of_count.items()}
            runs = dict.fromkeys(run for cell in row.cells for run in cell.runs)
            mine = [one for one in _against_one(table) if row.is_of(one.system)]
            for c in table.columns:
                for one in (o for o in mine if _is_of(o, c)):
                    values |= {f"{c.key} {part}": getattr(one, part) for part in TESTED}
            cells = ["" if (v := values.get(key)) is None else v if isinstance(v, str) else repr(v) for key in wide]
            writer.writerow(map(make_inert, [table.title, row.label, *cells, *([" ".join(runs)] if ids else [])]))
    return out.getvalue()


def _count_column(column: Column, table: Table) -> str:
    """The name of the column that holds how many queries a measure is the mean over."""
    places = {(c.dataset, c.split) for c in table.columns if c.kind == "measure"}
    return f"{column.key} queries" if len(places) > 1 else "queries"


def _against_one(table: Table) -> list[Comparison]:
    """Comparisons with a baseline; those of all pairs have no column of their own."""
    return list(table.comparisons) if len({c.baseline for c in table.comparisons}) == 1 else []


def _is_of(one: Comparison, column: Column) -> bool:
    is_of_it = (one.dataset, one.split, one.measure) == column.cell and one.column in ("", column.key)
    return column.kind == "measure" and is_of_it


def to_json(table: Table) -> dict[str, Any]:
    """The table as plain JSON types."""
    return {
        "title": table.title,
        "columns": [asdict(c) for c in table.columns],
        "rows": [
            {
                "system": row.label,
                "cells": {
                    c.key: {"value": cell.value, "text": cell.text, "runs": list(cell.runs)}
                    | ({"mark": cell.mark} if cell.mark else {})
                    | ({"sign": cell.sign} if cell.sign else {})
                    | ({"sd": cell.sd} if cell.sd is not None else {})
                    | ({"over": [asdict(r) for r in cell.over]} if cell.over else {})
                    | ({"queries": cell.queries} if c.kind == "measure" and cell.queries is not None else {})
                    for c, cell in zip(table.columns, row.cells, strict=True)
                },
            }
            for row in table.rows
        ],
        "notes": list(table.notes),
        "comparisons": [asdict(c) for c in table.comparisons],
        "macro": [asdict(m) for m in table.macro],
        "gaps": [asdict(g) for g in table.gaps],
        "command": table.command,
        "commit": table.commit,
    }
