"""What the page of a report holds beside its tables: the runs behind them with their lineage, and figures."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError, DataError
from irctl.ledger.files.identity import ID_PATTERN
from irctl.origins import Kind, parse
from irctl.pipelines.lineage import run_settings
from irctl.pipelines.report import figures
from irctl.pipelines.report.records import open_per_query
from irctl.pipelines.report.report import Wanted
from irctl.reports.columns import ANSWERS, CODE_PIVOT, ISOTROPY
from irctl.reports.figures.figures import close, encode
from irctl.reports.page import page
from irctl.reports.page.page import Drawn
from irctl.reports.page.payload import RunDetail

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord
    from irctl.reports.table import Table

FIGURES = {CODE_PIVOT: (CODE_PIVOT,), ISOTROPY: (ISOTROPY,), ANSWERS: ("ratios",)}
"""Tables with figures of their own; the others have USUAL."""
USUAL = ("pareto",)
MOST_ROWS = 40
"""Rows of a table from which on a figure with a name a row is not drawn."""
MOST_CURVES = 12
"""Trainings in the figure of curves; of more, as many of the newest."""


def make_page(tables: Sequence[Table], wanted: Wanted, *, target: Path | None, mask: Callable[[str], str]) -> str:
    """The page of these tables. target: where it will lie, which links are relative to; None: the working folder."""
    from irctl.ledger import many_runs

    shown = dict.fromkeys(run for t in tables for row in t.rows for cell in row.cells for run in cell.runs)
    here = target.absolute().parent if target else Path.cwd()
    with many_runs.at_once(many_runs.find(shown).values()) as above:
        runs = _describe(above, here)
        drawn = _draw(tables, wanted, [r.id for r in runs.values() if r.command == "train"])
        return page.render(tables, runs=runs, per_query=open_per_query(), figures=drawn, mask=mask)


def _describe(above: Mapping[str, Sequence[RunRecord]], here: Path) -> dict[str, RunDetail]:
    """The runs and those that they stand on, which come after them."""
    from irctl.ledger import many_runs, query

    behind = {r.id: r for of in above.values() for r in of}
    every = many_runs.find(above) | behind
    found = {}
    made = {
        (a["kind"], a["sha256"]): run
        for run, record in every.items()
        for a in query.artifacts(record, role="out", located=False)
    }
    for run, record in every.items():
        inputs = query.artifacts(record, role="in", located=False)
        read = [(a["kind"], _name_input(a, record, made, every), str(a["sha256"] or "")) for a in inputs]
        found[run] = _detail(record, tuple(read), tuple(a.id for a in above.get(run, ())), here)
    return found


def _name_input(
    read: Mapping[str, Any], by: RunRecord, made: Mapping[tuple[str, str], str], runs: Mapping[str, RunRecord]
) -> str:
    """What an input is called: of what a run made, whose folders are called alike, the run and what it was.

    made: (kind, sha256) of outputs -> run; the last part of a cache's path says nothing.
    """
    path, inside = str(read["path"]), ""
    if found := ID_PATTERN.search(path):
        run, inside = found[0], path[found.end() :].strip("/")
    elif not (run := made.get((read["kind"], read["sha256"]), "")):
        return str(by.columns.get("model") or "") if read["kind"] == "model" else Path(path).name
    known = runs[run].columns if run in runs else {}
    what = " ".join(str(known[k]) for k in ("command", "method") if known.get(k))
    within = f"{inside} of " if "/" in inside else ""
    return f"{within}run {run}{f' ({what})' if what else ''}"


def _detail(run: RunRecord, inputs: tuple[tuple[str, str, str], ...], above: tuple[str, ...], here: Path) -> RunDetail:
    columns = run.columns
    texts = {k: str(columns.get(k) or "") for k in ("command", "dataset", "model")}
    return RunDetail(
        id=run.id,
        line=shlex.join(json.loads(columns.get("argv_json") or "[]")),
        href=os.path.relpath(run.folder, here),
        settings=_chosen(columns.get("config_json") or "{}", texts["command"]),
        commit=str(columns.get("git_commit") or ""),
        dirty=bool(columns.get("git_dirty")),
        dataset_sha256=str(columns.get("dataset_fingerprint") or ""),
        model_sha256=str(columns.get("model_fingerprint") or ""),
        seed=columns.get("seed"),
        inputs=inputs,
        above=above,
        **texts,
    )


@lru_cache(maxsize=256)  # the runs of a grid share few texts
def _chosen(config_json: str, command: str) -> tuple[tuple[str, str, str], ...]:
    """(key, value, origin) of the settings of a run that are not at their default, those of a machine last."""
    config: dict[str, dict[str, Any]] = json.loads(config_json)
    origins = {k: parse(v["origin"]).kind for k, v in config.items()}
    chosen = [
        k
        for k, kind in origins.items()
        if kind is not Kind.DEFAULT and run_settings.concerns(command, k, config[k]["origin"])
    ]
    ordered = sorted(chosen, key=lambda k: origins[k] is Kind.PROFILE)
    return tuple((k, _in_words(config[k]["value"]), config[k]["origin"]) for k in ordered)


def _in_words(value: Any) -> str:
    """A setting as it is typed: true, not True."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _draw(tables: Sequence[Table], wanted: Wanted, trainings: Sequence[str]) -> list[Drawn]:
    """The figures that these records can make; what they cannot is left out."""
    usual = FIGURES.get(wanted.table, USUAL) if max((len(t.rows) for t in tables), default=0) <= MOST_ROWS else ()
    asked = [(kind, wanted) for kind in usual]
    if any(t.comparisons for t in tables) and wanted.table not in FIGURES:
        asked.append(("delta", wanted))
    if trainings:
        asked.append(("curves", replace(wanted, runs=sorted(trainings)[-MOST_CURVES:])))
    drawn: list[Drawn] = []
    for kind, of in asked:
        with suppress(DataError, ConfigError):  # what is missing is said where the figure is asked for by name
            for name, figure, data, left_out in figures.draw(kind, of):
                more = len(trainings) - MOST_CURVES if kind == "curves" else 0
                older = (f"left out: {more} older trainings",) if more > 0 else ()
                drawn.append(Drawn(name, encode(figure, "svg").decode(), data, (*left_out, *older)))
                close(figure)
    return drawn
