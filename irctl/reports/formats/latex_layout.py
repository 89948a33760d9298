r"""How a table fits the width it has in LaTeX: in which size, under which names, in how many parts.

Tried in this order, until all columns fit side by side: \normalsize and \small, then names and headers shortened,
\footnotesize, \scriptsize. What fits in none is cut into parts at \footnotesize, each with the names of the systems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from irctl.reports.formats.computer_modern import width_of, width_raised
from irctl.reports.formats.latex_text import spell
from irctl.reports.formats.short_names import break_header, shorten_headers, shorten_systems
from irctl.reports.table import Table

COLUMN, PAGE = 229.5, 345.0
"""Points of a column of article in two columns, and of its line in one: what fits the first fits both."""
SLACK = 1.01
"""Pairs of letters that stand apart by a kern."""
LARGEST_NAMES = 0.45
"""Share of the width that names of systems may take beside columns that stand in parts."""
HEIGHT = 480.0
"""Points of a page that tables may take: the text of article is 550 high, and there is a caption."""


@dataclass(frozen=True)
class TextSize:
    """A size of article at 10 points. leading: points from line to line; separation: \\tabcolsep."""

    name: str
    points: int
    leading: float
    separation: float


NORMAL, SMALL = TextSize("normalsize", 10, 12, 6), TextSize("small", 9, 11, 4)
FOOTNOTE, SCRIPT = TextSize("footnotesize", 8, 9.5, 3), TextSize("scriptsize", 7, 8, 2.5)
TRIED = ((NORMAL, False), (SMALL, False), (SMALL, True), (FOOTNOTE, False), (FOOTNOTE, True), (SCRIPT, True))
"""(size, whether names are short), in the order of what is given up."""


@dataclass(frozen=True)
class TabularPart:
    """Columns and rows, by number, that stand side by side. width: points as estimated, never too few."""

    columns: tuple[int, ...]
    rows: tuple[int, ...]
    width: float


@dataclass(frozen=True)
class TableLayout:
    """names, headers: as shown, a header as one or two lines. floats: parts by the page that they stand on."""

    size: TextSize
    names: tuple[str, ...]
    headers: tuple[tuple[str, ...], ...]
    floats: tuple[tuple[TabularPart, ...], ...]
    available: float

    @property
    def parts(self) -> list[TabularPart]:
        return [part for parts in self.floats for part in parts]

    @property
    def width(self) -> float:
        return max(part.width for part in self.parts)

    def count_lines(self, text: str) -> int:
        """Lines of notes, in \footnotesize."""
        return ceil(1.1 * width_of(text, FOOTNOTE.points) / self.available)

    def height(self, parts: Sequence[TabularPart]) -> float:
        head = max((len(h) for h in self.headers), default=1) + 1
        return sum((len(part.rows) + head) * self.size.leading for part in parts)


def find_signs(table: Table) -> list[str]:
    """The longest mark of significance of each column, for which all of its cells have room."""
    return [max((row.cells[i].sign for row in table.rows), key=len, default="") for i in range(len(table.columns))]


def lay_out(table: Table, available: float) -> TableLayout:
    """The first of the ways above that fits so many points; the narrowest where none does."""
    labels, headers = [row.label for row in table.rows], [c.header for c in table.columns]
    short = (shorten_systems(labels), shorten_headers(headers))
    every = tuple(range(len(headers)))
    for size, is_short in TRIED:
        names, heads = short if is_short else (labels, headers)
        measured = _Measured(table, size, names, heads)
        if measured.width(every) <= available:
            return _arrange(measured, [every], available)
    names = _number(short[0], LARGEST_NAMES * available)
    measured = _Measured(table, FOOTNOTE, names, short[1])
    return _arrange(measured, measured.split(available), available)


class _Measured:
    """A table in one size under some names, with the points that each of its columns takes."""

    def __init__(self, table: Table, size: TextSize, names: Sequence[str], headers: Sequence[str]) -> None:
        self.table, self.size, self.names = table, size, tuple(names)
        letters = [width_raised(row.letter, size.points) for row in table.rows]
        named = [width_of(name, size.points) + more for name, more in zip(names, letters, strict=True)]
        self.label_width = max([width_of("System", size.points), *named])
        self.headers, self.widths = [], []
        for i, (header, sign) in enumerate(zip(headers, find_signs(table), strict=True)):
            raised = width_raised(sign, size.points)
            cells = [row.cells[i] for row in table.rows]
            body = max((width_of(spell(c.text), size.points, bold=c.mark == "best") for c in cells), default=0) + raised
            lines = [header] if width_of(header, size.points) <= body else break_header(header)
            self.headers.append(tuple(lines))
            self.widths.append(max(body, *(width_of(line, size.points) for line in lines)))

    def width(self, columns: Sequence[int]) -> float:
        """Points of these columns beside the names."""
        return SLACK * (self.label_width + sum(self.widths[i] for i in columns)) + 2 * self.size.separation * len(
            columns
        )

    def split(self, available: float) -> list[tuple[int, ...]]:
        """As few parts as there can be, none much wider than the others."""
        fewest = len(self._fill(available))
        caps = [available * share / 20 for share in range(10, 21)]
        return next(parts for cap in caps if len(parts := self._fill(cap)) == fewest)

    def _fill(self, cap: float) -> list[tuple[int, ...]]:
        parts: list[tuple[int, ...]] = [()]
        for i in range(len(self.widths)):
            if parts[-1] and self.width((*parts[-1], i)) > cap:
                parts.append(())
            parts[-1] += (i,)
        return parts


def _arrange(measured: _Measured, columns: Sequence[tuple[int, ...]], available: float) -> TableLayout:
    """Parts on pages: rows that are more than one holds are cut too, as evenly as can be."""
    every = range(len(measured.table.rows))
    most = max(1, int(HEIGHT / measured.size.leading) - 3)
    rows = ceil(len(every) / ceil(len(every) / most)) if every else 1
    chunks = [tuple(every[i : i + rows]) for i in range(0, len(every), rows)] or [()]
    parts = [TabularPart(c, chunk, measured.width(c)) for c in columns for chunk in chunks]
    layout = TableLayout(measured.size, measured.names, tuple(measured.headers), (), available)
    floats: list[tuple[TabularPart, ...]] = [()]
    for part in parts:
        if floats[-1] and layout.height([*floats[-1], part]) > HEIGHT:
            floats.append(())
        floats[-1] += (part,)
    return TableLayout(layout.size, layout.names, layout.headers, tuple(floats), available)


def _number(names: Sequence[str], widest: float) -> list[str]:
    """The names, a number in place of those that are wider."""
    return [n if width_of(n, FOOTNOTE.points) <= widest else f"S{i}" for i, n in enumerate(names, 1)]
