"""Paired tests of two evaluations, query by query, over every data set and measure that both have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.errors import DataError
from irctl.index.shards import write_json
from irctl.ledger import taken
from irctl.pipelines.evaluate import written
from irctl.pipelines.evaluate.files import PER_QUERY, read_per_query
from irctl.pipelines.evaluate.written import Values
from irctl.reports.significance import Comparison, compare, correct, describe_p

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord
    from irctl.ledger.recording import RunHandle

COMPARISONS = "comparisons.json"


def find_baseline(baseline: str, run: RunHandle | None = None) -> RunRecord:
    """The evaluation to compare with, looked up before anything is measured. run: whose record says what was meant.

    Raises DataError if there is no such run, or if it is no evaluation with per-query values as it wrote them.
    """
    from irctl.ledger import query

    is_newest = baseline == "latest"
    record = query.newest("eval") if is_newest else query.find_run(baseline, completed=True, made=("eval",))
    if record is None:
        raise DataError("--baseline latest: no evaluation before this one", hint="Drop --baseline, or name a run")
    if not _file(record).is_file():
        raise DataError(
            f"--baseline {baseline}: run {record.id} (irctl {record.columns['command']}) has no per-query values",
            hint="Name a run of irctl eval",
        )
    written.read_values(record)  # now, not after hours of measuring
    if run is not None and taken.is_open(baseline):
        taken.record(run, "--baseline", record.id)
    return record


def compare_with(record: RunRecord, per_query: Path, run_id: str) -> list[dict[str, Any]]:
    """Tests of this evaluation against another, Holm-corrected over all of them.

    Raises DataError if it shares no data set and measure with this one.
    """
    theirs = written.read_values(record)
    ours = read_per_query(per_query)
    if not ours.keys() & theirs.keys():
        places = ", ".join(sorted({f"{d} {s}" for d, s, _ in ours}))
        raise DataError(
            f"run {record.id} was not evaluated on {places} with these measures",
            hint="Evaluate both on the same data and measures",
        )
    family = [_compare_cell(cell, ours, theirs, run_id, record.id) for cell in ours if cell in theirs]
    return [asdict(c) for c in correct(family)]


def compare_runs(a: RunRecord, b: RunRecord) -> tuple[list[dict[str, Any]], list[str]]:
    """(tests of b against a, Holm-corrected over all of them; why nothing, or a data set of both, was not tested).

    Nothing where one of the two is no evaluation.
    """
    if any(run.columns["command"] != "eval" for run in (a, b)):
        return [], []
    read, unread = [], []
    for run in (b, a):
        try:
            read.append(written.read_values(run))
        except DataError as e:
            unread.append(f"nothing is tested: {e}")
    if unread:
        return [], unread
    ours, theirs = read
    family: list[Comparison] = []
    untested: dict[tuple[str, str], str] = {}
    for cell in ours:
        if cell in theirs and cell[:2] not in untested:
            try:
                family.append(_compare_cell(cell, ours, theirs, b.id, a.id))
            except DataError as e:  # other queries under the same name
                untested[cell[:2]] = e.message
    lines = [f"{dataset} {split}: not tested: {why}" for (dataset, split), why in untested.items()]
    return [asdict(c) for c in correct(family)], lines


def _file(record: RunRecord) -> Path:
    return record.folder / "out" / PER_QUERY


def _compare_cell(cell: tuple[str, str, str], ours: Values, theirs: Values, system: str, baseline: str) -> Comparison:
    dataset, split, measure = cell
    comparison = replace(compare(ours[cell], theirs[cell]), system=system, baseline=baseline)
    return replace(comparison, dataset=dataset, split=split, measure=measure)


def keep(run: RunHandle, comparisons: Sequence[Mapping[str, Any]]) -> None:
    """Keep what the tests of an evaluation said beside it."""
    write_json(run.out / COMPARISONS, {"schema": "irctl/comparisons/1", "comparisons": list(comparisons)})
    run.artifact("out", "comparisons", run.out / COMPARISONS)


def write_line(c: Mapping[str, Any]) -> str:
    """One comparison as a line of text."""
    p = describe_p(c["p_raw"], c["p_adj"], c["family"], c["correction"])
    counts = f"{c['wins']}/{c['ties']}/{c['losses']} won/tied/lost"
    interval = f"95% {c['ci_low']:+.4f} to {c['ci_high']:+.4f}"
    cell = f"{c['dataset']} {c['split']} {c['measure']}"
    return f"{cell}: {c['delta']:+.4f} ({interval}), p {p}, {counts} against {c['baseline']}"
