"""Tables as one self-contained HTML page: every number links to its run, figures are inline SVG, nothing is fetched."""

from __future__ import annotations

import html
from collections.abc import Sequence

from irctl.reports.table import Cell, Table

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1a1a1a }
table { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid }
caption { text-align: left; font-weight: 600; padding: .5rem 0 }
th, td { padding: .25rem .75rem; text-align: right; font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left }
thead { border-bottom: 1px solid }
a { color: inherit; text-decoration: none } a:hover { text-decoration: underline dotted }
.notes { font-size: 13px; color: #444 } svg { max-width: 100%; height: auto }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #e6e6e6 } .notes { color: #aaa } }
"""


def render(tables: Sequence[Table], *, svgs: Sequence[str] = ()) -> str:
    """One page with the tables and the figures given as SVG text."""
    parts = [_table(t) for t in tables]
    parts += [f"<figure>{svg[svg.index('<svg') :]}</figure>" for svg in svgs]
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>irctl report</title>'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(h)}</th>" for h in ["System", *(c.header for c in table.columns)])
    body = []
    for row in table.rows:
        letter = f"<sup>{row.letter}</sup>" if row.letter else ""
        cells = "".join(f"<td>{_cell(cell, table)}</td>" for cell in row.cells)
        body.append(f"<tr><td>{html.escape(row.label)}{letter}</td>{cells}</tr>")
    notes = [html.escape(n) for n in table.notes]
    if table.command:
        notes.append(f"Made by <code>{html.escape(table.command)}</code> {html.escape(table.commit[:12])}")
    return (
        f"<table>\n<caption>{html.escape(table.title)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(body)
        + '\n</tbody>\n</table>\n<ul class="notes">'
        + "".join(f"<li>{n}</li>" for n in notes)
        + "</ul>"
    )


def _cell(cell: Cell, table: Table) -> str:
    tag = {"best": "b", "second": "u"}.get(cell.mark, "")
    text = html.escape(cell.text)
    text = f"<{tag}>{text}</{tag}>" if tag else text
    if cell.runs:
        run = cell.runs[-1]
        title = html.escape(f"{cell.value!r} · {' '.join(cell.runs)}", quote=True)
        text = f'<a href="{html.escape(table.links.get(run, f"#{run}"), quote=True)}" title="{title}">{text}</a>'
    return text + (f"<sup>{html.escape(cell.sign)}</sup>" if cell.sign else "")
