"""Pages for tests, and what a test reads from one: its elements, its cells, its unpacked payload."""

from __future__ import annotations

import base64
import json
import zlib
from array import array
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from report_records import record, systems

from irctl.reports.columns import choose
from irctl.reports.page import page
from irctl.reports.page.page import Drawn
from irctl.reports.page.payload import RunDetail
from irctl.reports.records import Record, find_row
from irctl.reports.table import Table, TableOptions, build

EVIL = "<script>alert('x')</script> & \"quoted\""
VOID = {"meta", "input", "br"}
SVG = (
    '<?xml version="1.0"?>\n<!-- by https://matplotlib.org -->\n'
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="90" height="30">'
    "<metadata>http://purl.org</metadata>"
    '<defs><path id="m1" d="M0 0h9"/></defs><clipPath id="c"><rect width="9" height="9"/></clipPath>'
    '<use xlink:href="#m1" clip-path="url(#c)"/></svg>'
)


def per_query(r: Record) -> dict[str, float]:
    """45 values whose mean is the record's, another spread for each system; an id that begins like a formula."""
    raw = [((i * 7) % 11 - 5) * 0.01 * (1 + len(r.system) % 3) for i in range(45)]
    shift = r.value - sum(raw) / 45
    return {f"{'=' if i == 7 else ''}{r.dataset[0]}{i}": v + shift for i, v in enumerate(raw)}


def two_sets() -> list[Table]:
    """A table of each of two data sets, tested, with a system of a dangerous name, a deviation and a missing cell."""
    made = [*systems(), *(record(EVIL, v, base="", seed=s) for s, v in enumerate((0.2, 0.22, 0.27)))]
    made += [record(r.system, r.value / 2, r.measure, "nfcorpus", base="") for r in systems() if r.measure != "R@100"]
    built = []
    for name in ("cranfield", "nfcorpus"):
        mine = [r for r in made if r.dataset == name]
        options = TableOptions(
            title=f"{name} test",
            baseline=find_row("MiniLM", mine),
            per_query=per_query,
            command=f"irctl report --run '{EVIL}'",
            commit="abc123",
        )
        built.append(build(mine, choose(mine), options))
    return built


def details(tables: list[Table]) -> dict[str, RunDetail]:
    """A detail a run, with one run below all of them."""
    runs = dict.fromkeys(run for t in tables for row in t.rows for cell in row.cells for run in cell.runs)
    base = RunDetail(id="train-1", command="train", line="irctl train", href="runs/train-1", seed=42)
    of = {
        run: RunDetail(
            id=run,
            command="eval",
            line=f"irctl eval --model '{EVIL}'",
            href=f"runs/{i}",
            settings=(("data.split", "test", "option --split"),),
            commit="abc123",
            dataset="cranfield",
            dataset_sha256="d" * 64,
            model="MiniLM",
            model_sha256="e" * 64,
            inputs=(("model", "model", "f" * 64),),
            above=("train-1",),
        )
        for i, run in enumerate(runs)
    }
    return {**of, "train-1": base}


def make(tables: list[Table] | None = None) -> str:
    """The page of these tables, with two figures."""
    shown = tables or two_sets()
    figures = [Drawn("pareto", SVG, "line,value\na,1\n"), Drawn("delta", SVG, "x,y\n1,2\n")]
    return page.render(shown, runs=details(shown), per_query=per_query, figures=figures)


@dataclass
class Read(HTMLParser):
    """Elements as (tag, attributes), texts of cells and row headers by id or row, and whether all was closed."""

    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    stack: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        self.elements.append((tag, given))
        if tag not in VOID:
            self.stack.append((tag, given))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for _, given in self.stack:
            if "id" in given:
                self.texts[given["id"]] = self.texts.get(given["id"], "") + data

    @property
    def payload(self) -> dict[str, Any]:
        """What the script unpacks, with the values of each series in place."""
        stored = json.loads(self.texts["payload"])
        found = json.loads(zlib.decompress(base64.b64decode(stored["packed"])))
        numbers = array("d", zlib.decompress(base64.b64decode(stored["values"])))
        for one in found["series"]:
            ids = found["queries"][one["queries"]]
            one["values"] = dict(zip(ids, numbers[one["at"] : one["at"] + len(ids)], strict=True))
        return {**found, "schema": stored["schema"]}


def read(text: str) -> Read:
    found = Read()
    found.feed(text)
    assert not found.stack
    return found
