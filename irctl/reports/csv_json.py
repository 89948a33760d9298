"""Tables for programs: CSV with unrounded values, and JSON with everything the model holds."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from irctl.reports.table import Table


def render_csv(tables: Sequence[Table], *, ids: bool = False) -> str:
    """One row a system and table, full precision, empty where missing; ids adds the runs behind each row."""
    keys = list(dict.fromkeys(c.key for t in tables for c in t.columns))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["table", "system", *keys, *(["runs"] if ids else [])])
    for table in tables:
        for row in table.rows:
            values = {c.key: cell.value for c, cell in zip(table.columns, row.cells, strict=True)}
            runs = dict.fromkeys(run for cell in row.cells for run in cell.runs)
            cells = ["" if (v := values.get(key)) is None else repr(v) for key in keys]
            writer.writerow([table.title, row.label, *cells, *([" ".join(runs)] if ids else [])])
    return out.getvalue()


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
                    for c, cell in zip(table.columns, row.cells, strict=True)
                },
            }
            for row in table.rows
        ],
        "notes": list(table.notes),
        "comparisons": [asdict(c) for c in table.comparisons],
        "command": table.command,
        "commit": table.commit,
    }
