"""How `irctl report` prints: terminal tables, text formats, figures, the checklist."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import plugins
from irctl.errors import ConfigError

if TYPE_CHECKING:
    from irctl.pipelines.report.report import Wanted

FORMATS = ("table", "latex", "markdown", "html", "csv", "json")


def check_format(format: str) -> None:
    """Raise ConfigError for a format that there is not."""
    if format not in FORMATS:
        raise ConfigError(f"--format {format}: expected {', '.join(FORMATS)}", hint=plugins.nearest(format, FORMATS))


def render(format: str, wanted: Wanted, *, ids: bool) -> str:
    """The report in one of the formats, as text."""
    check_format(format)
    from irctl import console
    from irctl.commands.report import terminal
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
    return "\n".join(terminal.render(t, ids=ids) for t in tables)


def write(path: Path, text: str) -> None:
    """The file whole or not at all; see files.write_out for what it raises."""
    from irctl.files import write_out

    write_out(path, text)


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
