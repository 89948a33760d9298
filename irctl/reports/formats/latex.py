r"""A table in LaTeX: table + tabular with booktabs rules, and the run behind each cell as a comment. No preamble."""

from __future__ import annotations

import re

from irctl.reports.table import Cell, Table

ESCAPES = {
    "\\": r"\textbackslash{}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "{": r"\{",
    "}": r"\}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "†": r"\textdagger{}",
}


def escape(text: str) -> str:
    """Text with every character that LaTeX reads as its own replaced, in one pass."""
    return "".join(ESCAPES.get(c, c) for c in text)


def render(table: Table) -> str:
    """The table as one `table` environment. Needs the packages booktabs and, for accented names, a UTF-8 engine."""
    header = " & ".join(["System", *(escape(c.header) for c in table.columns)])
    widest = [max((row.cells[i].sign for row in table.rows), key=len, default="") for i in range(len(table.columns))]
    body = []
    for row in table.rows:
        label = escape(row.label) + (rf"\textsuperscript{{{row.letter}}}" if row.letter else "")
        cells = [_cell(cell, sign) for cell, sign in zip(row.cells, widest, strict=True)]
        body.append(" & ".join([label, *cells]) + r" \\" + _comment(table, row.cells))
    notes = " ".join(escape(note) for note in table.notes)
    return "\n".join(
        [
            r"% packages: booktabs",
            *_origin(table),
            *(f"% {_one_line(one.line)}" for one in table.comparisons),
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{escape(table.title)}{'. ' if table.title else ''}{notes}}}",
            rf"\label{{tab:{_label(table.title)}}}",
            rf"\begin{{tabular}}{{l*{{{len(table.columns)}}}{{r}}}}",
            r"\toprule",
            header + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cell(cell: Cell, widest: str) -> str:
    """Marked text, with the space of the column's longest superscript where this cell has a shorter one."""
    text = escape(cell.text)
    if cell.mark == "best":
        text = rf"\textbf{{{text}}}"
    elif cell.mark == "second":
        text = rf"\underline{{{text}}}"
    if cell.sign:
        text += rf"\textsuperscript{{{escape(cell.sign)}}}"
    if rest := widest[len(cell.sign) :]:
        text += rf"\hphantom{{\textsuperscript{{{escape(rest)}}}}}"
    return text


def _comment(table: Table, cells: tuple[Cell, ...]) -> str:
    named = {c.key: " ".join(cell.runs) for c, cell in zip(table.columns, cells, strict=True) if cell.runs}
    if len(set(named.values())) == 1:
        return f" % run {next(iter(named.values()))}"
    return " % runs " + "; ".join(f"{key}: {runs}" for key, runs in named.items()) if named else ""


def _origin(table: Table) -> list[str]:
    lines = [f"% made by: {table.command}"] if table.command else []
    return [*lines, f"% commit: {table.commit}"] if table.commit else lines


def _label(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "results"
