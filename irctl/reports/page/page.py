"""Tables and figures as one HTML page that needs nothing else: it can be mailed, opened from a disk, and printed.

page.html, page.css and page.js lie beside this file. The page's policy allows its own script alone, and no request.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from irctl.reports.comparisons import PerQuery
from irctl.reports.page import markup, payload, svg
from irctl.reports.page.payload import RunDetail
from irctl.reports.table import Table

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Drawn:
    """A figure: the name of its files, its SVG, its data as CSV, what it leaves out."""

    name: str
    svg: str
    data: str
    left_out: Sequence[str] = ()


def render(
    tables: Sequence[Table],
    *,
    runs: Mapping[str, RunDetail] | None = None,
    per_query: PerQuery = lambda _: None,
    figures: Sequence[Drawn] = (),
    mask: Callable[[str], str] = lambda text: text,
) -> str:
    """The page. runs: those behind the cells, and those behind these. mask: hides secrets in what is packed."""
    runs = runs or {}
    script = (HERE / "page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    sections = [markup.section(i, t, runs) for i, t in enumerate(tables)]
    packed, unread = payload.write(tables, runs, per_query, [f.data for f in figures], mask)
    if unread:
        sections.append(f'<p class="notes">Values by query left out: {markup.text("; ".join(unread))}.</p>')
    if figures:
        sections.append("<section>\n<h2>Figures</h2>\n" + "\n".join(map(_figure, range(len(figures)), figures)))
        sections[-1] += "\n</section>"
    return Template((HERE / "page.html").read_text("utf-8")).substitute(
        title=markup.text(_title(tables)),
        made=_made(tables),
        hash=f"sha256-{digest}",
        style=(HERE / "page.css").read_text("utf-8"),
        sections="\n".join(sections),
        payload=packed,
        script=script,
    )


def _title(tables: Sequence[Table]) -> str:
    titles = [t.title for t in tables if t.title]
    return f"irctl report: {', '.join(titles)}" if 0 < len(titles) < 4 else "irctl report"


def _made(tables: Sequence[Table]) -> str:
    """The command that makes the page again, and the commit that its runs were made at, where it is one."""
    command = next((t.command for t in tables if t.command), "")
    commits = sorted({t.commit[:12] for t in tables if t.commit})
    at = f"; its runs at commit {markup.text(commits[0])}" if len(commits) == 1 else ""
    return f'<p class="made">Made by <code>{markup.text(command)}</code>{at}</p>' if command else ""


def _figure(number: int, drawn: Drawn) -> str:
    name = markup.text(drawn.name)
    shown = svg.inline(drawn.svg, f"f{number}-")
    shown = shown.replace("<svg", f'<svg role="img" aria-label="Figure: {name}"', 1)
    told = markup.text("; ".join([drawn.name, *drawn.left_out]))
    return (
        f'<figure id="f{number}" data-n="{number}" data-name="{name}">{shown}<figcaption>{told}</figcaption></figure>'
    )
