"""A table in Markdown: best in bold, second best underlined, footnotes and the runs behind the rows below."""

from __future__ import annotations

from irctl.reports.table import Cell, Table


def render(table: Table, *, ids: bool = False) -> str:
    """The table with its notes; ids adds a column that names the runs of each row."""
    header = ["System", *(c.header for c in table.columns), *(["Runs"] if ids else [])]
    lines = [f"### {_escape(table.title)}", ""] if table.title else []
    lines.append(_line([_escape(h) for h in header]))
    lines.append(_line(["---", *["---:"] * len(table.columns), *(["---"] if ids else [])]))
    for row in table.rows:
        runs = dict.fromkeys(run for cell in row.cells for run in cell.runs)
        label = _escape(row.label) + (f"<sup>{row.letter}</sup>" if row.letter else "")
        lines.append(_line([label, *map(_cell, row.cells), *([" ".join(f"`{r}`" for r in runs)] if ids else [])]))
    lines += ["", *(f"- {_escape(note)}" for note in table.notes)]
    for title, found in (("Tests", table.comparisons), ("Gaps, 95 % intervals", table.gaps)):
        if found:
            lines += ["", f"<details><summary>{title}</summary>", ""]
            lines += [*(f"- {_escape(one.line)}" for one in found), "", "</details>", ""]
    if table.command:
        lines.append(
            f"- Made by `{table.command}`" + (f"; its runs at commit {table.commit[:12]}" if table.commit else "")
        )
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    text = {"best": f"**{cell.text}**", "second": f"<u>{cell.text}</u>"}.get(cell.mark, cell.text)
    return text + (f"<sup>{cell.sign}</sup>" if cell.sign else "")


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
