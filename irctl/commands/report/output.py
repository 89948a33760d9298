"""How `irctl report` prints: terminal tables, text formats, figures, the checklist."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import plugins
from irctl.errors import ConfigError

if TYPE_CHECKING:
    from irctl.pipelines.report.report import Wanted
    from irctl.reports.table import Cell, Table

FORMATS = ("table", "latex", "markdown", "html", "csv", "json")


def check_format(format: str) -> None:
    """Raise ConfigError for a format that there is not."""
    if format not in FORMATS:
        raise ConfigError(f"--format {format}: expected {', '.join(FORMATS)}", hint=plugins.nearest(format, FORMATS))


def render(format: str, wanted: Wanted, *, ids: bool) -> str:
    """The report in one of the formats, as text."""
    check_format(format)
    from irctl import console
    from irctl.pipelines.report import report
    from irctl.reports.formats import csv_json, html, latex, markdown

    tables = report.make_tables(wanted)
    if format == "latex":
        return "\n".join(latex.render(t) for t in tables)
    if format == "markdown":
        return "\n".join(markdown.render(t, ids=ids) for t in tables)
    if format == "html":
        return html.render(tables)
    if format == "csv":
        return csv_json.render_csv(tables, ids=ids)
    if format == "json":
        payload: dict[str, Any] = {"schema": "irctl/report/1", "tables": [csv_json.to_json(t) for t in tables]}
        return console.as_json(payload)
    return "\n".join(terminal(t, ids=ids) for t in tables)


def write(path: Path, text: str) -> None:
    """The file whole or not at all; see files.write_out for what it raises."""
    from irctl.files import write_out

    write_out(path, text)


def terminal(table: Table, *, ids: bool) -> str:
    """The table for a terminal: colours and weights only where stdout is one."""
    import sys

    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    from irctl.console import visible

    drawn = Drawn(
        title=visible(table.title) or None, box=None, pad_edge=False, title_justify="left", header_style="bold"
    )
    drawn.add_column("System", overflow="fold")
    for column in table.columns:
        drawn.add_column(visible(column.header), justify="right", no_wrap=True)
    if ids:
        drawn.add_column("Runs", overflow="fold")
    for row in table.rows:
        label = Text(visible(f"{row.label} {row.letter}".strip()))
        runs = dict.fromkeys(run for cell in row.cells for run in cell.runs)
        widest = [max(len(r.cells[i].sign) for r in table.rows) for i in range(len(table.columns))]
        cells = [_cell(cell, width) for cell, width in zip(row.cells, widest, strict=True)]
        drawn.add_row(label, *cells, *([" ".join(runs)] if ids else []))
    is_terminal = sys.stdout.isatty()
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=None if is_terminal else 200,
                      markup=False, emoji=False)  # fmt: skip
    console.print(drawn)
    for note in table.notes:
        console.print(Text(visible(note), style="dim"))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _cell(cell: Cell, sign_width: int) -> Any:
    """A value in its weight, with room for the column's longest mark of significance."""
    from rich.text import Text

    style = {"best": "bold", "second": "underline"}.get(cell.mark, "")
    return Text.assemble((cell.text, style), cell.sign.ljust(sign_width))


def draw(kind: str, folder: Path, wanted: Wanted, *, json_: bool) -> None:
    """Save a figure and name its files."""
    from irctl import console
    from irctl.pipelines.report import figures

    written = [str(p) for p in figures.draw_figure(kind, folder, wanted)]
    if json_:
        console.emit_json({"schema": "irctl/report/1", "figure": kind, "files": written})
        return
    for path in written:
        console.out(path)


def show_checklist(wanted: Wanted, *, json_: bool) -> None:
    """What reviewers ask for, one line a question."""
    from dataclasses import asdict

    from irctl import console
    from irctl.pipelines.report import records, report
    from irctl.reports import neighbour_recall
    from irctl.reports.checklist import checklist

    items = checklist(neighbour_recall.keep_judged(report.narrow(records.gather(wanted.runs), wanted)))
    if json_:
        console.emit_json({"schema": "irctl/report/1", "checklist": [asdict(i) for i in items]})
        return
    for item in items:
        console.out(f"{'yes' if item.is_present else 'no ':3}  {item.question}: {item.detail}")
