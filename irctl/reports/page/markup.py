"""The page's tables as static HTML, every text escaped: what is read, printed and searched without the script."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping

from irctl.reports.columns import Column
from irctl.reports.equal_bytes import GAP
from irctl.reports.page.intervals import Interval, list_intervals, of_cell
from irctl.reports.page.payload import RunDetail
from irctl.reports.significance import CORRECTED
from irctl.reports.table import Cell, Table

TAGS = {"best": "b", "second": "u"}
LEFT = ' class="text"'


def section(number: int, table: Table, runs: Mapping[str, RunDetail]) -> str:
    """One table with its notes and its tests; ids begin with t and its number."""
    tested = of_cell(table)
    head = "".join(_head(c) for c in table.columns)
    body = []
    for r, row in enumerate(table.rows):
        letter = f"<sup>{text(row.letter)}</sup>" if row.letter else ""
        cells = (
            _cell(f"t{number}-r{r}-c{i}", cell, column, runs, [one.line for one in tested(row, column)])
            for i, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True))
        )
        body.append(f'<tr><th scope="row">{text(row.label)}{letter}</th>{"".join(cells)}</tr>')
    notes = "".join(f"<li>{text(n)}</li>" for n in table.notes)
    correction = table.comparisons[0].correction if table.comparisons else "none"
    names = list(dict.fromkeys(c.dataset for c in table.columns if c.dataset))
    names = names or list(dict.fromkeys(r.dataset for row in table.rows for c in row.cells for r in c.records))
    return (
        f'<section id="t{number}" data-datasets="{text(json.dumps(names))}">\n'
        f'<h2 id="t{number}-title">{text(table.title or "Results")}</h2>\n'
        f'{_scroll(f"t{number}-title")}<table class="main" aria-labelledby="t{number}-title">\n'
        f'<thead><tr><th scope="col">System</th>{head}</tr></thead>\n<tbody>\n' + "\n".join(body) + "\n</tbody>\n"
        f'</table></div>\n<ul class="notes">{notes}</ul>\n{_tests(number, list_intervals(table), correction)}</section>'
    )


def text(value: str) -> str:
    """Text that stays text, also in an attribute."""
    return html.escape(value, quote=True)


def _scroll(title: str) -> str:
    return f'<div class="scroll" tabindex="0" role="region" aria-labelledby="{title}">'


def _head(column: Column) -> str:
    of = f' data-d="{text(column.dataset)}"' if column.dataset else ""
    better = f' data-better="{column.better}"' if column.better else ""
    kind = LEFT if column.kind == "text" else ""
    return f'<th scope="col"{kind}{of}{better}>{text(column.header)}</th>'


def _cell(name: str, cell: Cell, column: Column, runs: Mapping[str, RunDetail], tests: list[str]) -> str:
    shown = text(cell.text)
    known = [run for run in cell.runs if run in runs]
    if known:
        told = [repr(cell.value)] if cell.value is not None else []
        told += [other.line for other in cell.over]
        title = f' title="{text(chr(10).join([*told, *tests]))}"' if told or tests else ""
        shown = f'<a href="{text(runs[known[-1]].href)}"{title}>{shown}</a>'
    if tag := TAGS.get(cell.mark):
        shown = f"<{tag}>{shown}</{tag}>"
    sign = f"<sup>{text(cell.sign)}</sup>" if cell.sign else ""
    kind = LEFT if column.kind == "text" else ""
    return f'<td id="{name}"{kind}{_value(cell.value)}>{shown}{sign}</td>'


def _value(value: float | None) -> str:
    """What a column is sorted by."""
    return "" if value is None or not math.isfinite(value) else f' data-v="{value!r}"'


def _tests(number: int, found: list[Interval], correction: str) -> str:
    if not found:
        return ""
    corrected = f"p, {CORRECTED[correction]}"
    heads = ("System", "Against", "Of", "Difference x100", "95 % from", "to", "p", corrected, "n", "W/T/L")
    body = []
    for one in found:
        lacking = "unbounded" if one.kind == GAP and one.n else "--"  # an end of its interval
        numbers = [(100 * v if v is not None else None, "+.2f", lacking) for v in (one.value, one.low, one.high)]
        numbers += [(one.p, ".3g", "--"), (one.p_adj, ".3g", "--"), (one.n, "d", "--")]
        cells = "".join(f"<td{_value(v)}>{none if v is None else format(v, how)}</td>" for v, how, none in numbers)
        words = "".join(f'<td class="text">{text(w)}</td>' for w in (one.against, one.of))
        of = f' data-d="{text(one.dataset)}"' if one.dataset else ""
        name = f'<th scope="row">{text(one.system)}</th>'
        body.append(f"<tr{of}>{name}{words}{cells}<td>{one.outcomes or '--'}</td></tr>")
    summary = f'<summary id="t{number}-tests">Tests and intervals: {len(found)}</summary>'
    head = "".join(f'<th scope="col"{LEFT if h in heads[:3] else ""}>{h}</th>' for h in heads)
    return (
        f'<details>{summary}{_scroll(f"t{number}-tests")}<table aria-labelledby="t{number}-tests">'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(body) + "\n</tbody></table></div></details>\n"
    )
