"""A table for a terminal: colours and weights only where stdout is one; columns beyond its width stand below."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irctl.reports.table import Cell, Row, Table

WIDTH = 200
"""Characters a line where stdout is no terminal."""
LONGEST = 60
"""Characters of a system's name; longer ones are folded."""
BETWEEN = 2


def render(table: Table, *, ids: bool) -> str:
    """The table as text, in as many parts as its columns need, each with the names of the systems."""
    import sys

    from rich.console import Console
    from rich.text import Text

    from irctl.console import visible

    is_terminal = sys.stdout.isatty()
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=None if is_terminal else WIDTH,
                      markup=False, emoji=False)  # fmt: skip
    parts = split_columns(table, console.width)
    for part in parts:
        if part is not parts[0]:
            console.print()
        title, with_ids = visible(table.title) if part is parts[0] else "", ids and part is parts[-1]
        lines = [] if is_terminal else _align(table, part, ids=with_ids, title=title, width=console.width)
        if lines:
            console.file.write("\n".join(lines) + "\n")
        else:
            console.print(_draw(table, part, ids=with_ids, title=title))
    for note in table.notes:
        console.print(Text(visible(note), style="dim"))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def split_columns(table: Table, width: int) -> list[list[int]]:
    """Numbers of the columns of each part: as many as fit beside the names, at least one."""
    names = min(LONGEST, max((len(f"{row.label} {row.letter}".strip()) for row in table.rows), default=0))
    parts: list[list[int]] = [[]]
    left = width - names
    for i, column in enumerate(table.columns):
        cells = max((len(row.cells[i].text) + len(row.cells[i].sign) for row in table.rows), default=0)
        needed = max(len(column.header), cells) + BETWEEN
        if needed > left and parts[-1]:
            parts.append([])
            left = width - names
        parts[-1].append(i)
        left -= needed
    return parts


def _align(table: Table, columns: Sequence[int], *, ids: bool, title: str, width: int) -> list[str]:
    """What `_draw` is printed as where nothing has a style, every row fits on a line, and the title is no wider.

    Rich takes half a millisecond a row. Empty where they do not.
    """
    from irctl.console import align, visible

    texts = [[_name(row) for row in table.rows]]
    for i in columns:
        cells = [row.cells[i] for row in table.rows]
        widest = max((len(cell.sign) for cell in cells), default=0)
        texts.append([cell.text + cell.sign.ljust(widest) for cell in cells])
    heads = ["System", *(visible(table.columns[i].header) for i in columns)]
    if ids:
        heads.append("Runs")
        texts.append([_runs(row) for row in table.rows])
    lines = align(heads, texts, [False, *(True for _ in columns), *([False] if ids else [])], width)
    fits = title.isascii() and title.isprintable() and len(title) <= max(map(len, lines), default=0)
    return [*([title] if title else []), *lines] if fits else []


def _name(row: Row) -> str:
    from irctl.console import visible

    return visible(f"{row.label} {row.letter}".strip())


def _runs(row: Row) -> str:
    return " ".join(dict.fromkeys(run for cell in row.cells for run in cell.runs))


def _draw(table: Table, columns: Sequence[int], *, ids: bool, title: str) -> Any:
    from rich.table import Table as Drawn
    from rich.text import Text

    from irctl.console import visible

    drawn = Drawn(title=title or None, box=None, pad_edge=False, title_justify="left", header_style="bold")
    longest = max((len(row.label) for row in table.rows), default=0)
    drawn.add_column("System", overflow="fold", min_width=min(LONGEST, longest))
    for i in columns:
        drawn.add_column(visible(table.columns[i].header), justify="right", no_wrap=True)
    if ids:
        drawn.add_column("Runs", overflow="fold")
    widest = [max(len(row.cells[i].sign) for row in table.rows) for i in columns] if table.rows else []
    for row in table.rows:
        cells = [_cell(row.cells[i], width) for i, width in zip(columns, widest, strict=True)]
        drawn.add_row(Text(_name(row)), *cells, *([_runs(row)] if ids else []))
    return drawn


def _cell(cell: Cell, sign_width: int) -> Any:
    """A value in its weight, with room for the column's longest mark of significance."""
    from rich.text import Text

    style = {"best": "bold", "second": "underline"}.get(cell.mark, "")
    return Text.assemble((cell.text, style), cell.sign.ljust(sign_width))
