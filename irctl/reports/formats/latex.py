r"""A table in LaTeX: booktabs rules, notes below, the run behind each cell as a comment, no wider than its column.

No preamble, and no package but booktabs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from irctl.reports.formats import latex_layout
from irctl.reports.formats.latex_layout import TableLayout, TabularPart
from irctl.reports.formats.latex_text import begin_line, escape, escape_long, escape_number, raise_sign
from irctl.reports.table import Cell, Table

LAST_LATIN = 0x24F
"""The last letter of what pdflatex reads by itself."""


def render(table: Table, *, is_wide: bool = False, width: float | None = None) -> str:
    """The table as one `table` environment, or as many as its pages; is_wide: `table*`, over both columns of a page.

    width: points that it may take; None: what fits article in one column and in two.
    """
    available = width or (latex_layout.PAGE if is_wide else latex_layout.COLUMN)
    layout = latex_layout.lay_out(table, available)
    notes = [*(escape_long(n) for n in (" ".join(table.notes),) if n), *_legend(table, layout)]
    lines = sum(layout.count_lines(note) for note in notes)
    is_apart = layout.height(layout.floats[-1]) + lines * latex_layout.FOOTNOTE.leading > latex_layout.HEIGHT and bool(
        notes
    )
    floats = []
    for number, parts in enumerate(layout.floats, 1):
        below = notes if number == len(layout.floats) and not is_apart else []
        floats += _float(table, layout, parts, number, below, "table*" if is_wide else "table")
    said = _one_line("; ".join(_describe(layout, is_wide=is_wide, is_apart=is_apart)))
    apart = [rf"\emph{{Notes to Table~\ref{{tab:{_label(table)}}}.}} {notes[0]}", *notes[1:]] if is_apart else []
    shown = "\n".join(line for line in floats if not line.startswith("%")) + "".join(notes)
    return "\n".join(
        [
            "% packages: booktabs",
            f"% {said}",
            *_foreign(shown),
            *_origin(table),
            *(f"% {_one_line(one.line)}" for one in table.comparisons),
            *floats,
            *([r"{\footnotesize\raggedright\noindent", *_paragraphs(apart), r"\par}"] if apart else []),
            "",
        ]
    )


def _float(
    table: Table, layout: TableLayout, parts: Sequence[TabularPart], number: int, notes: Sequence[str], environment: str
) -> list[str]:
    which = f" ({number} of {len(layout.floats)})" if len(layout.floats) > 1 else ""
    label = f"{_label(table)}{f'-{number}' if number > 1 else ''}"
    block = [r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize\raggedright", *_paragraphs(notes)]
    return [
        rf"\begin{{{environment}}}[t]",
        r"\centering",
        rf"\caption{{{escape_long(_caption(table))}{which}}}",
        rf"\label{{tab:{label}}}\par\smallskip",
        rf"\{layout.size.name}\setlength{{\tabcolsep}}{{{layout.size.separation:g}pt}}%",
        *(line for i, part in enumerate(parts) for line in _tabular(table, layout, part, is_first=i == 0)),
        *([*block, r"\end{minipage}"] if notes else []),
        rf"\end{{{environment}}}",
    ]


def _tabular(table: Table, layout: TableLayout, part: TabularPart, *, is_first: bool) -> list[str]:
    signs = latex_layout.find_signs(table)
    header = " & ".join(["System", *(_header(layout.headers[i]) for i in part.columns)])
    body = []
    for n in part.rows:
        row = table.rows[n]
        cells = [_cell(row.cells[i], signs[i]) for i in part.columns]
        line = " & ".join([begin_line(escape(layout.names[n])) + raise_sign(row.letter, row.letter), *cells])
        body.append(line + r" \\" + _comment(table, row.cells, part.columns))
    return [
        *([] if is_first else [r"\par\smallskip"]),
        rf"\begin{{tabular}}{{@{{}}l*{{{len(part.columns)}}}{{r}}@{{}}}}",
        r"\toprule",
        header + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _header(lines: Sequence[str]) -> str:
    text = r"\\".join(begin_line(escape(line)) for line in lines)
    return text if len(lines) == 1 else rf"\shortstack[r]{{{text}}}"


def _cell(cell: Cell, widest: str) -> str:
    """Marked text, with the space of the column's longest superscript where this cell has a shorter one."""
    text = escape_number(cell.text)
    if cell.mark == "best":
        text = rf"\textbf{{{text}}}"
    elif cell.mark == "second":
        text = rf"\underline{{{text}}}"
    return text + raise_sign(cell.sign, widest)


def _legend(table: Table, layout: TableLayout) -> list[str]:
    """What short names and headers stand for."""
    systems = [(s, row.label) for s, row in zip(layout.names, table.rows, strict=True) if s != row.label]
    heads = ["".join(lines) for lines in layout.headers]
    columns = [
        (" ".join(lines), c.header)
        for lines, head, c in zip(layout.headers, heads, table.columns, strict=True)
        if head.replace(" ", "") != c.header.replace(" ", "")
    ]
    said = (("Systems", systems), ("Columns", columns))
    return [f"{word}. {'; '.join(map(_explain, names))}." for word, names in said if names]


def _explain(names: tuple[str, str]) -> str:
    return rf"\emph{{{escape(names[0])}}}: {escape_long(names[1])}"


def _paragraphs(notes: Sequence[str]) -> list[str]:
    return [line for i, note in enumerate(notes) for line in ([r"\par", note] if i else [note])]


def _describe(layout: TableLayout, *, is_wide: bool, is_apart: bool) -> list[str]:
    """What was done to fit, for who reads the file."""
    said = [
        f"{layout.width:.0f} pt of {layout.available:g}, by the widths of Computer Modern in article at 10 pt",
        rf"\{layout.size.name}",
    ]
    if (count := len(layout.parts)) > 1:
        said.append(f"too wide or long for one: {count} parts{'' if is_wide else '; --wide has 345 pt, as table*'}")
    if layout.width > layout.available:
        said.append(f"wider than that: --width {layout.width:.0f}{'' if is_wide else ' or --wide'} has room")
    if is_apart:
        said.append("notes stand after the table: they would not fit on its page")
    return said


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _comment(table: Table, cells: tuple[Cell, ...], columns: Sequence[int]) -> str:
    named = {table.columns[i].key: " ".join(cells[i].runs) for i in columns if cells[i].runs}
    if len(set(named.values())) == 1:
        return f" % run {next(iter(named.values()))}"
    return " % runs " + "; ".join(f"{key}: {runs}" for key, runs in named.items()) if named else ""


def _origin(table: Table) -> list[str]:
    lines = [f"% made by: {_one_line(table.command)}"] if table.command else []
    return [*lines, f"% commit of its runs: {table.commit}"] if table.commit else lines


def _caption(table: Table) -> str:
    """The title, and which table it is of those that a data set has; what stands alone says so in its title."""
    return table.title if table.kind in ("", "main") or ", " in table.title else f"{table.title}, {table.kind}"


def _label(table: Table) -> str:
    """Of its own among the tables of a paper."""
    return re.sub(r"[^a-z0-9]+", "-", f"{table.kind} {table.title}".lower()).strip("-") or "results"


def _foreign(text: str) -> list[str]:
    """A comment on characters that LaTeX has no letters for unless it is told a font."""
    lacking = sorted({c for c in text if ord(c) > LAST_LATIN})
    if not lacking:
        return []
    return [f"% pdflatex has no {' '.join(lacking)}: lualatex or xelatex, and fontspec with a font that has them"]
