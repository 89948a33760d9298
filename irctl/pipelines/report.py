"""`irctl report`: records from the evaluations of the ledger, tables and figures from the records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import paths, plugins
from irctl.errors import ConfigError, DataError
from irctl.metrics.measures import parse, parse_one
from irctl.pipelines import _eval_store as store
from irctl.pipelines._lineage import System, settings, system
from irctl.reports import figures
from irctl.reports.columns import choose, headline, is_across
from irctl.reports.records import Record, newest
from irctl.reports.significance import CORRECTIONS, TESTS
from irctl.reports.table import Table, build

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord

MARKS = ("daggers", "letters")
FIGURES = ("pareto", "delta")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a user asks of a report. Empty means the usual."""

    table: str = "main"
    baseline: str = ""
    runs: Sequence[str] = ()
    datasets: str = ""
    split: str = ""
    measures: str = ""
    columns: str = ""
    marks: str = "daggers"
    test: str = "t"
    correction: str = "holm"
    mixed: bool = False
    command: str = ""

    def check(self) -> None:
        """Raise ConfigError for a word that is none of the legal ones."""
        legal = {"marks": MARKS, "test": TESTS, "correction": CORRECTIONS}
        for name, words in legal.items():
            if (value := getattr(self, name)) not in words:
                raise ConfigError(f"--{name} {value}: expected {', '.join(words)}", hint=plugins.nearest(value, words))


def gather(runs: Sequence[str] = ()) -> list[Record]:
    """Records of every finished evaluation, or of those named; a group's id stands for the evaluations in it.

    Raises DataError if there is none.
    """
    from irctl.ledger import query

    evals = query.list_runs(command="eval", status="completed")
    found = evals if not runs else []
    for named in map(query.find_run, runs):
        members = [r for r in evals if r.columns.get("group_id") == named.id]
        found += members or [named]
    if not found:
        raise DataError(f"{paths.ledger()}: no evaluation to report", hint="irctl demo makes some; irctl eval adds one")
    return [r for record in found for r in records_of(record)]


def records_of(record: RunRecord) -> list[Record]:
    """Records of one evaluation run, from its eval.json and its lineage."""
    from irctl.ledger import query

    payload = store.read_json(Path(record.folder) / "out" / store.EVAL)
    searches: dict[Any, dict[str, Any]] = {(s["dataset"], s["split"]): s for s in payload.get("searches", [])}
    columns = record.columns
    line = query.ancestors(record.id)
    selected = selected_on(line)
    systems: dict[tuple[str, str], System] = {}
    found = []
    for r in payload["results"]:
        place = (r["dataset"], r["split"])
        if place not in systems:
            systems[place] = system(record, searches.get(place) or next(iter(searches.values()), {}), line)
        made = systems[place]
        found.append(
            Record(
                dataset=r["dataset"],
                split=r["split"],
                measure=r["measure"],
                value=float(r["value"]),
                run_id=record.id,
                created_at=str(columns.get("created_at") or ""),
                system=made.label,
                variant=made.variant,
                traits=made.traits,
                method=made.method,
                loss=made.loss,
                model=made.model,
                compression=made.compression,
                base=made.base,
                seed=made.seed,
                bytes_per_vector=made.bytes_per_vector,
                qrels_sha256=r["qrels_sha256"],
                k=r.get("k"),
                similarity=SIMILARITY.get(str(r.get("similarity") or ""), str(r.get("similarity") or "")),
                self_match=r["self_match"],
                negatives_per_query=made.negatives_per_query,
                selected_on_eval=(r["dataset"], r["split"]) in selected or bool(columns.get("selected_on_eval")),
                n_queries=r["n_queries"],
                n_missing=r["n_missing"],
                lineage=made.lineage,
                command=str(columns.get("argv_json") or ""),
                commit=str(columns.get("git_commit") or ""),
                facts=made.facts,
            )
        )
    return found


SIMILARITY = {"ip": "dot", "l2": "euclid"}


def selected_on(line: Sequence[RunRecord]) -> set[tuple[str, str]]:
    """(data set, split) pairs that a checkpoint of this lineage was chosen on."""
    found = set()
    for record in line:
        if record.columns.get("command") == "train" and settings(record).get("eval.during", "off") != "off":
            found.add((str(record.columns.get("dataset") or ""), "dev"))
    return found


def tables(wanted: Wanted) -> list[Table]:
    """The tables asked for: one a data set and split, or one with a column a data set."""
    wanted.check()
    return tables_of(gather(wanted.runs), wanted, per_query_reader())


def tables_of(
    records: Sequence[Record], wanted: Wanted, per_query: Callable[[Record], Mapping[str, float] | None]
) -> list[Table]:
    """The same from records: pure but for per_query."""
    records = narrowed(records, wanted)
    measures = [m.name for m in parse(wanted.measures)] if wanted.measures else []
    columns = [_column_name(c) for c in wanted.columns.replace(",", " ").split()]
    if wanted.table == "compression":
        bases = {r.base for r in records if r.compression}
        records = [r for r in records if r.base in bases]
        if not records:
            raise DataError("no evaluation of compressed vectors to report", hint="irctl compress, then irctl eval")
    groups = [list(records)]
    if not is_across(wanted.table, columns, records):
        places = dict.fromkeys((r.dataset, r.split) for r in newest(records))
        groups = [[r for r in records if (r.dataset, r.split) == place] for place in places]
    commits = sorted({r.commit for r in records if r.commit})
    made = []
    for group in groups:
        places_here = dict.fromkeys(f"{r.dataset} {r.split}" for r in group)
        made.append(
            build(
                group,
                choose(group, wanted.table, measures=measures, columns=columns),
                title=next(iter(places_here)) if len(places_here) == 1 else f"{headline(group, measures)} by data set",
                baseline=wanted.baseline,
                per_query=per_query,
                test=wanted.test,
                correction=wanted.correction,
                marks=wanted.marks,
                allow_mixed=wanted.mixed,
                command=wanted.command,
                commit=commits[-1] if len(commits) == 1 else "",
            )
        )
    return [_linked(t) for t in made]


def narrowed(records: Sequence[Record], wanted: Wanted) -> list[Record]:
    """Records of the data sets and split asked for. Without --split, a data set's dev gives way to its other splits."""
    found = list(records)
    if wanted.datasets:
        names = wanted.datasets.replace(",", " ").split()
        known = sorted({r.dataset for r in found})
        for name in names:
            if name not in known:
                raise DataError(f"no evaluation on '{name}'", hint=plugins.nearest(name, known))
        found = [r for r in found if r.dataset in names]
    if wanted.split:
        found = [r for r in found if r.split == wanted.split]
        if not found:
            known = sorted({r.split for r in records})
            raise DataError(f"no evaluation on split '{wanted.split}'", hint=plugins.nearest(wanted.split, known))
        return found
    reported = {r.dataset for r in found if r.split != "dev"}
    return [r for r in found if r.split != "dev" or r.dataset not in reported]


def _column_name(text: str) -> str:
    """A measure in its own spelling, any other column as it is."""
    try:
        return parse_one(text).name
    except ConfigError:
        return text


def _linked(table: Table) -> Table:
    runs = {run for row in table.rows for cell in row.cells for run in cell.runs}
    return replace(table, links={run: str(paths.runs().resolve() / run) for run in runs})


def per_query_reader() -> Callable[[Record], Mapping[str, float] | None]:
    """Per-query values of a record, from its run folder; each file is read once."""
    from irctl.ledger import query

    @cache
    def file(run_id: str) -> dict[tuple[str, str, str], dict[str, float]]:
        path = Path(query.find_run(run_id).folder) / "out" / store.PER_QUERY
        return store.read_per_query(path) if path.is_file() else {}

    return lambda record: file(record.run_id).get(record.cell)


def figure(kind: str, folder: Path, wanted: Wanted) -> list[Path]:
    """Draw a figure of the same records, one a data set and split, and save it in every format."""
    if kind not in FIGURES:
        raise ConfigError(f"--figure {kind}: expected {', '.join(FIGURES)}", hint=plugins.nearest(kind, FIGURES))
    wanted.check()
    records = narrowed(gather(wanted.runs), wanted)
    if kind == "delta":
        compared = [c for t in tables_of(records, wanted, per_query_reader()) for c in t.comparisons]
        return figures.save(*figures.delta(compared), folder, "delta")
    measures = [m.name for m in parse(wanted.measures)] if wanted.measures else []
    written: list[Path] = []
    places = list(dict.fromkeys((r.dataset, r.split) for r in records))
    for dataset, split in places:
        mine = [r for r in records if (r.dataset, r.split) == (dataset, split)]
        drawn = figures.pareto(mine, headline(mine, measures), title=f"{dataset} {split}")
        name = "pareto" if len(places) == 1 else f"pareto-{dataset}-{split}".replace("/", "-")
        written += figures.save(*drawn, folder, name)
    return written


def summary(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Rows of every table as JSON objects, with everything the model holds."""
    from irctl.reports.csv_json import to_json

    return [to_json(t) for t in tables]
