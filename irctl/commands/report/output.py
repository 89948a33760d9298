"""How `irctl report` prints: terminal tables, text formats, figures, the checklist."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import plugins
from irctl.errors import ConfigError

if TYPE_CHECKING:
    from irctl.pipelines.report.report import Wanted

FORMATS = ("table", "latex", "markdown", "html", "csv", "json")
NARROWEST = 150
"""Points that a table in LaTeX needs at least, for names and a column."""


def check_format(format: str, other: str = "") -> None:
    """Raise ConfigError for a format that there is not, or beside another option that says what is printed."""
    if format not in FORMATS:
        raise ConfigError(f"--format {format}: expected {', '.join(FORMATS)}", hint=plugins.near(format, FORMATS))
    if other and format not in ("table", other.lstrip("-")):
        raise ConfigError(f"--format {format}: not with {other}", hint="Drop one")


def check_lines(format: str, *, is_wide: bool, width: float | None) -> None:
    """Raise ConfigError where there is no LaTeX for --wide and --width to have a say in."""
    if format != "latex" and (is_wide or width is not None):
        raise ConfigError(
            f"{'--wide' if is_wide else '--width'}: with --format latex alone, found {format}", hint="Drop it"
        )
    if width is not None and not NARROWEST <= width < inf:
        raise ConfigError(f"--width {width:g}: expected points of a column, from {NARROWEST} up", hint="article: 345")


def render(
    format: str,
    wanted: Wanted,
    *,
    ids: bool,
    target: Path | None,
    mask: Callable[[str], str],
    is_wide: bool = False,
    width: float | None = None,
) -> str:
    """The report in one of the formats, as text.

    target: the file that it is for, if any. mask: hides secrets. is_wide, width: of LaTeX.
    """
    check_format(format)
    from irctl import console
    from irctl.commands.report import terminal
    from irctl.pipelines.report import report
    from irctl.reports.formats import csv_json, latex, markdown

    tables = report.make_tables(wanted)
    if format == "latex":
        return "\n".join(latex.render(t, is_wide=is_wide, width=width) for t in tables)
    if format == "markdown":
        return "\n".join(markdown.render(t, ids=ids) for t in tables)
    if format == "html":
        from irctl.pipelines.report import page

        return page.make_page(tables, wanted, target=target, mask=mask)
    if format == "csv":  # it has no room for notes
        for line in dict.fromkeys(n for t in tables for n in t.notes if n.startswith("Left out")):
            console.err(line)
        return csv_json.render_csv(tables, ids=ids)
    if format == "json":
        payload: dict[str, Any] = {"schema": "irctl/report/1", "tables": [csv_json.to_json(t) for t in tables]}
        return console.as_json(payload)
    return "\n".join(terminal.render(t, ids=ids, for_file=target is not None) for t in tables)


def write(path: Path, text: str) -> None:
    """The file whole or not at all; see files.write_out for what it raises."""
    from irctl.files import write_out

    write_out(path, text)


def draw(kind: str, folder: Path, wanted: Wanted, *, json_: bool) -> None:
    """Save a figure and name its files; what it leaves out, on stderr."""
    from irctl import console
    from irctl.pipelines.report import figures

    left_out: list[str] = []
    written = [str(p) for p in figures.draw_figure(kind, folder, wanted, left_out)]
    if json_:
        payload = {"schema": "irctl/report-figure/1", "figure": kind, "files": written, "left_out": left_out}
        console.emit_json(payload)
        return
    for path in written:
        console.out(path)
    for line in left_out:
        console.err(line)


def show_checklist(wanted: Wanted, group: str, *, json_: bool) -> None:
    """What reviewers ask for, one line a question; of a group first what is done of it, a row an arm and seed."""
    from dataclasses import asdict, replace

    from irctl import console
    from irctl.errors import DataError
    from irctl.pipelines.arms import group_checklist, members
    from irctl.pipelines.report import records, report
    from irctl.reports import neighbour_recall
    from irctl.reports.checklist import checklist

    wanted.refuse((*report.OF_TABLES, "table", "columns", "measures"), "--checklist")
    arms: list[group_checklist.Member] = []
    if group:
        if (found := members.find_group(group)) is None:
            raise DataError(f"--checklist {group}: no group of that recipe or id", hint="irctl runs ls --command arms")
        arms = group_checklist.members_of(found)
        wanted = replace(wanted, runs=(found.id,))
    has_numbers = not arms or any(a.sets for a in arms)
    kept = report.narrow(records.gather(wanted.runs), wanted) if has_numbers else []
    items = checklist(neighbour_recall.keep_judged(kept)) if kept else []
    if json_:
        told = {"group": wanted.runs[0], "arms": [asdict(a) for a in arms]} if arms else {}
        console.emit_json({"schema": "irctl/report-checklist/1", **told, "checklist": [asdict(i) for i in items]})
        return
    for a in arms:
        trained = f", model {a.checkpoint}" if a.checkpoint else ""
        console.out(f"{'no ' if a.command else 'yes'}  {a.arm}: {a.status}{trained}; evaluated: {_listed(a.sets)}")
        if a.command:
            console.out(f"     missing: {_listed(a.missing) if a.status == 'completed' else a.status}: {a.command}")
    for item in items:
        console.out(f"{'yes' if item.is_present else 'no ':3}  {item.question}: {item.detail}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"
