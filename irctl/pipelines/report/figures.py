"""Figures of `irctl report`: what each kind is drawn from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from irctl import plugins
from irctl.errors import ConfigError, DataError
from irctl.pipelines.lineage.run_settings import settings
from irctl.pipelines.report import report
from irctl.pipelines.report.records import gather, open_per_query
from irctl.pipelines.report.report import Wanted
from irctl.reports import neighbour_recall
from irctl.reports.columns import ANSWERS, CODE_PIVOT, ISOTROPY, headline
from irctl.reports.figures import code_sizes, curves, figures, isotropy, ratios
from irctl.training.run_files import journal
from irctl.training.run_files.curve import Epochs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from irctl.ledger.query import RunRecord
    from irctl.reports.records import Record

    Draw = Callable[..., tuple[Figure, str]]
    Named = tuple[str, Figure, str]
    """Name of the files, figure, data as CSV."""

SPECTRUM_ROWS = 20_000
"""Vectors that a spectrum is estimated from."""


def draw_figure(kind: str, folder: Path, wanted: Wanted) -> list[Path]:
    """Draw a figure and save it in every format; the files written."""
    return [path for name, figure, data in draw(kind, wanted) for path in figures.save(figure, data, folder, name)]


def draw(kind: str, wanted: Wanted) -> Iterable[Named]:
    """The figures of a kind, one a data set where it is of one."""
    kinds: dict[str, Callable[[Wanted], Iterable[Named]]] = {
        "pareto": _pareto,
        "speed": _speed,
        "delta": _delta,
        "curves": _curves,
        "spectrum": _spectrum,
        CODE_PIVOT: _code_sizes,
        ISOTROPY: _isotropy,
        "ratios": _ratios,
    }
    if kind not in kinds:
        raise ConfigError(f"--figure {kind}: expected {', '.join(kinds)}", hint=plugins.near(kind, list(kinds)))
    wanted.check()
    return kinds[kind](wanted)


def _delta(wanted: Wanted) -> Iterable[Named]:
    compared = [c for t in report.make_tables(wanted) for c in t.comparisons]
    return [("delta", *figures.delta(compared))]


def _pareto(wanted: Wanted) -> Iterable[Named]:
    """Judged quality where there is some, else recall of exact neighbours, else that of the probe; one a data set."""
    records = report.narrow(gather(wanted.runs, probes=True), wanted)
    if not report.read_measures(wanted):
        records = neighbour_recall.keep_judged(records) or records
    return _one_a_place("pareto", figures.pareto, records, wanted)


def _speed(wanted: Wanted) -> Iterable[Named]:
    """Recall of exact neighbours where it was measured, else judged quality; one a data set."""
    records = [r for r in report.narrow(gather(wanted.runs), wanted) if r.facts.get("queries_per_s")]
    if not report.read_measures(wanted):
        records = [r for r in records if neighbour_recall.is_recall(r.measure)] or records
    return _one_a_place("speed", figures.speed, records, wanted)


def _code_sizes(wanted: Wanted) -> Iterable[Named]:
    """Judged quality over bytes, a line a transform or model; one a data set."""
    records = neighbour_recall.keep_judged(report.narrow(gather(wanted.runs), wanted))
    return _one_a_place(CODE_PIVOT, code_sizes.code_sizes, records, wanted)


def _isotropy(wanted: Wanted) -> Iterable[Named]:
    """Judged quality over IsoScore: transforms as a line, trainings as points; one a data set."""
    gathered = report.narrow(gather(wanted.runs), replace(wanted, table=ISOTROPY))
    records = [r for r in neighbour_recall.keep_judged(gathered) if "iso" in r.facts] or gathered
    draw = partial(isotropy.isotropy, per_query=open_per_query())
    return _one_a_place(ISOTROPY, draw, records, wanted)


def _ratios(wanted: Wanted) -> Iterable[Named]:
    """Answers over the tokens of their contexts; one a data set."""
    records = report.narrow(gather(wanted.runs), replace(wanted, table=ANSWERS))
    return _one_a_place("ratios", ratios.ratios, records, wanted)


def _one_a_place(kind: str, draw: Draw, records: Sequence[Record], wanted: Wanted) -> Iterable[Named]:
    """A figure for every data set and split, of the measures asked for or the best known of neighbours."""
    measures = report.read_measures(wanted)
    if not measures and not neighbour_recall.keep_judged(records):
        measures = [next((m for m in neighbour_recall.QUALITY if any(r.measure == m for r in records)), "")]
    if measures:
        records = [r for r in records if r.measure in measures] or records
    places = list(dict.fromkeys((r.dataset, r.split) for r in records))
    for dataset, split in places or [("", "")]:
        mine = [r for r in records if (r.dataset, r.split) == (dataset, split)]
        drawn = draw(mine, headline(mine, measures), title=f"{dataset} {split}")
        name = kind if len(places) < 2 else f"{kind}-{dataset}-{split}".replace("/", "-")
        yield name, *drawn  # one at a time: open figures take memory


def _runs(wanted: Wanted, command: str, wrote: str = "") -> list[RunRecord]:
    """The runs named (a group stands for its members), else the newest with its whole group.

    wrote: the kind of artifact that a run must have written to be the newest.
    """
    from irctl.ledger import query

    known = query.list_runs(command=command, status="completed")
    if not wanted.runs:
        known = [r for r in known if not wrote or query.artifacts(r, role="out", kind=wrote)]
        group = known[0].columns.get("group_id") if known else None
        return [r for r in known if group and r.columns.get("group_id") == group] or known[:1]
    chosen: list[RunRecord] = []
    for named in map(query.find_run, wanted.runs):
        members = [r for r in known if r.columns.get("group_id") == named.id]
        if not members and named.columns.get("command") != command:
            raise DataError(f"run {named.id} is a run of 'irctl {named.columns.get('command')}', expected {command}")
        chosen += members or [named]
    return chosen


def _label(run: RunRecord) -> str:
    """Name, else method and loss; with the seed."""
    settings_of_run = settings(run)
    label = str(
        settings_of_run.get("run.name")
        or f"{settings_of_run.get('train.method', '')} {settings_of_run.get('loss.name', '')}".strip()
    )
    return f"{label} seed {run.columns.get('seed')}"


def _group_seeds(runs: Sequence[RunRecord]) -> dict[str, str]:
    """Run id -> a name that runs share which differ in the seed alone; empty for a run that is alone."""
    alike: dict[str, list[RunRecord]] = {}
    for run in runs:
        known = {k: v for k, v in settings(run).items() if k.rpartition(".")[2] != "seed"}
        alike.setdefault(repr(sorted(known.items())), []).append(run)
    names = [_label(of[0]).rpartition(" seed ")[0] for of in alike.values()]
    distinct = _make_distinct(names, [of[0] for of in alike.values()])
    return {r.id: name if len(of) > 1 else "" for of, name in zip(alike.values(), distinct, strict=True) for r in of}


def _curves(wanted: Wanted) -> Iterable[Named]:
    """Loss of full batches, and dev measure, of training runs."""
    from irctl.ledger import query

    points: list[curves.CurvePoint] = []
    runs = _runs(wanted, "train")
    names = _make_distinct([_label(r) for r in runs], runs)
    groups = _group_seeds(runs)
    for run, name in zip(runs, names, strict=True):
        measured = query.metrics(run.id)
        epochs = Epochs.read(journal.events(run.paths.metrics))
        logged = {int(m["step"]) for m in measured if m["name"] == curves.LOSS and m["step"] is not None}
        drawn = epochs.comparable(logged) if epochs else logged
        for m in measured:
            if m["name"] == curves.LOSS and m["step"] is not None and int(m["step"]) not in drawn:
                continue
            is_dev = bool(m["split"])
            if m["step"] is not None and m["value"] is not None and (is_dev or m["name"] == curves.LOSS):
                points.append(
                    curves.CurvePoint(name, str(m["name"]), int(m["step"]), float(m["value"]), run.id, groups[run.id])
                )
    return [("curves", *curves.curves(points))]


def _spectrum(wanted: Wanted) -> Iterable[Named]:
    """Variance by direction of the vectors of encode runs."""
    from irctl.index.plan import draw
    from irctl.metrics.vectors import moments
    from irctl.pipelines.references import vectors

    runs = _runs(wanted, "encode", "embeddings")  # an encoding may have kept codes alone
    names = _make_distinct([str(r.columns.get("model") or "").rstrip("/").rpartition("/")[2] for r in runs], runs)
    points: list[curves.SpectrumPoint] = []
    for run, name in zip(runs, names, strict=True):
        stream = vectors.of_run(run).stream
        x_ND = stream.take(draw(stream.rows, min(stream.rows, SPECTRUM_ROWS), 0))
        points += curves.spectrum_points(name, run.id, moments.of_rows(x_ND).eigenvalues().tolist(), len(x_ND))
    return [("spectrum", *curves.spectrum(points))]


def _make_distinct(names: Sequence[str], runs: Sequence[RunRecord]) -> list[str]:
    """Names; those that several runs have get the run's id."""
    return [n if names.count(n) == 1 else f"{n} {r.id}" for n, r in zip(names, runs, strict=True)]
