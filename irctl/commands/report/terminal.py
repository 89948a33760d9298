"""A table for a terminal: weights only where stdout shows them, else a star; columns beyond its width stand below."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irctl.reports.table import Cell, Row, Table

WIDTH = 200
"""Characters a line where stdout is no terminal."""
STAR, BEST_STARRED = "*", "* best"
"""Mark of the best where nothing can be bold, and the words of the note for it."""
LONGEST = 60
"""Characters of a system's name; longer ones are folded."""
BETWEEN = 2


def render(table: Table, *, ids: bool, for_file: bool = False) -> str:
    """The table as text, in as many parts as its columns need, each with the names of the systems."""

    from rich.console import Console
    from rich.text import Text

    from irctl.console import is_styled, visible
    from irctl.reports.notes.footnotes import BEST

    is_terminal, styled = sys.stdout.isatty() and not for_file, is_styled() and not for_file
    console = Console(file=io.StringIO(), force_terminal=styled, width=None if is_terminal else WIDTH,
                      markup=False, emoji=False)  # fmt: skip
    if not styled:
        table = star(table)
    parts = split_columns(table, console.width)
    for part in parts:
        if part is not parts[0]:
            console.print()
        title, with_ids = visible(table.title) if part is parts[0] else "", ids and part is parts[-1]
        lines = [] if styled else _align(table, part, ids=with_ids, title=title, width=console.width)
        if lines:
            console.file.write("\n".join(lines) + "\n")
        else:
            console.print(_draw(table, part, ids=with_ids, title=title))
    notes = list(table.notes)
    if not styled:
        notes = [note.replace(BEST, BEST_STARRED) for note in notes]
        is_told = notes != list(table.notes) or not any(c.mark == "best" for row in table.rows for c in row.cells)
        notes += [] if is_told else [f"{BEST_STARRED} of its column."]
    for note in notes:
        console.print(Text(visible(note), style="dim"))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def star(table: Table) -> Table:
    """The table with a star behind the best of each column, and as much room behind the others of it."""
    starred = {i for row in table.rows for i, cell in enumerate(row.cells) if cell.mark == "best"}
    rows = []
    for row in table.rows:
        cells = [
            replace(c, text=c.text + (STAR if c.mark == "best" else " ")) if i in starred else c
            for i, c in enumerate(row.cells)
        ]
        rows.append(replace(row, cells=tuple(cells)))
    return replace(table, rows=tuple(rows))


def split_columns(table: Table, width: int) -> list[list[int]]:
    """Numbers of the columns of each part: as many as fit beside the names, at least one."""
    names = min(LONGEST, max((len(f"{row.label} {row.letter}".strip()) for row in table.rows), default=0))
    parts: list[list[int]] = [[]]
    left = width - names
    for i, column in enumerate(table.columns):
        cells = [row.cells[i] for row in table.rows]
        texts, signs = (max(map(len, of), default=0) for of in ([c.text for c in cells], [c.sign for c in cells]))
        needed = max(len(column.header), texts + signs) + BETWEEN
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
    from irctl.console import align

    heads, texts = ["System"], [[_name(row) for row in table.rows]]
    for i in columns:
        head, pads, signs = _pad(table, i)
        heads.append(head)
        cells = [row.cells[i] for row in table.rows]
        texts.append([pad + c.text + c.sign.ljust(signs) for pad, c in zip(pads, cells, strict=True)])
    if ids:
        heads.append("Runs")
        texts.append([_runs(row) for row in table.rows])
    lines = [line.rstrip() for line in align(heads, texts, [False] * len(heads), width)]
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

    drawn = Drawn(title=title or None, box=None, pad_edge=False, title_justify="left", header_style="bold")
    longest = max((len(row.label) for row in table.rows), default=0)
    drawn.add_column("System", overflow="fold", min_width=min(LONGEST, longest))
    padded = [_pad(table, i) for i in columns]
    for head, _, _ in padded:
        drawn.add_column(head, no_wrap=True)
    if ids:
        drawn.add_column("Runs", overflow="fold")
    for n, row in enumerate(table.rows):
        cells = [_cell(row.cells[i], pads[n], signs) for i, (_, pads, signs) in zip(columns, padded, strict=True)]
        drawn.add_row(Text(_name(row)), *cells, *([_runs(row)] if ids else []))
    return drawn


def _pad(table: Table, column: int) -> tuple[str, list[str], int]:
    """(head, what stands before each row's text, room for signs): texts end below each other, signs stand behind them.

    Rich strips the room behind a text that it justifies to the right.
    """
    from rich.cells import cell_len

    from irctl.console import visible

    head, cells = visible(table.columns[column].header), [row.cells[column] for row in table.rows]
    signs = max((len(c.sign) for c in cells), default=0)
    width = max([cell_len(head), *(len(c.text) + signs for c in cells)])
    return " " * (width - cell_len(head)) + head, [" " * (width - signs - len(c.text)) for c in cells], signs


def _cell(cell: Cell, pad: str, sign_width: int) -> Any:
    """A value in its weight, with room for the column's longest mark of significance."""
    from rich.text import Text

    style = {"best": "bold", "second": "underline"}.get(cell.mark, "")
    return Text.assemble(pad, (cell.text, style), cell.sign.ljust(sign_width))
