"""Figures of runs by themselves, evaluated or not: curves of trainings, spectra of encoded vectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from irctl.errors import DataError
from irctl.pipelines.lineage.codes import line_of
from irctl.pipelines.lineage.run_settings import settings
from irctl.pipelines.lineage.system import system
from irctl.pipelines.report.report import Wanted, read_measures
from irctl.reports.figures import curves
from irctl.reports.figures.absent import Picture
from irctl.training.run_files import journal
from irctl.training.run_files.curve import Epochs

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord

SPECTRUM_ROWS = 20_000
"""Vectors that a spectrum is estimated from."""


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


def draw_curves(wanted: Wanted) -> Iterable[Picture]:
    """Loss of full batches, and dev measure, of training runs. Raises DataError where none has a value at a step."""
    runs = _runs(wanted, "train")
    names = _make_distinct([_label(r) for r in runs], runs)
    groups = _group_seeds(runs)
    measures = read_measures(wanted)
    points: list[curves.CurvePoint] = []
    for run, name in zip(runs, names, strict=True):
        points += [
            p for p in _points(run, name, groups[run.id]) if not measures or p.measure in (curves.LOSS, *measures)
        ]
    left_out = (*_tell_unmeasured(runs, names, points), *_tell_others(wanted, runs, "train"))
    if runs and not points:
        raise DataError(f"nothing to draw: {left_out[0]}", hint="--run RUN names another training; irctl runs ls")
    return [Picture("curves", *curves.curves(points), left_out)]


def _points(run: RunRecord, name: str, group: str) -> list[curves.CurvePoint]:
    from irctl.ledger import query

    measured = [m for m in query.metrics(run.id) if m["step"] is not None]
    epochs = Epochs.read(journal.events(run.paths.metrics))
    logged = {int(m["step"]) for m in measured if m["name"] == curves.LOSS}
    even = epochs.comparable(logged) if epochs else logged
    return [
        curves.CurvePoint(name, str(m["name"]), int(m["step"]), float(m["value"]), run.id, group)
        for m in measured
        if m["value"] is not None and (int(m["step"]) in even if m["name"] == curves.LOSS else m["split"])
    ]


def _tell_unmeasured(runs: Sequence[RunRecord], names: Sequence[str], points: Sequence[curves.CurvePoint]) -> list[str]:
    """Trainings without a line in the figure, or in one of its panels."""
    drawn = {p.run_id for p in points}
    told = [("left out, nothing measured at a step", drawn)]
    for measure in dict.fromkeys(p.measure for p in points):
        lacking = drawn - {p.run_id for p in points if p.measure == measure}
        told.append((f"not in the panel of {measure}, which they did not measure", {r.id for r in runs} - lacking))
    missing = [(why, [n for r, n in zip(runs, names, strict=True) if r.id not in there]) for why, there in told]
    return [f"{why}: {', '.join(of)}" for why, of in missing if of]


def _tell_others(wanted: Wanted, runs: Sequence[RunRecord], command: str) -> list[str]:
    """Runs of the same groups that did not complete; without --run, how many others of the command there are."""
    from irctl.ledger import query

    here, groups = {r.id for r in runs}, {r.columns.get("group_id") for r in runs} - {None}
    every = [r for r in query.list_runs(command=command) if r.id not in here]
    alike = [r for r in every if r.columns.get("group_id") in groups]
    members = alike if not wanted.runs else []
    for named in wanted.runs:
        members += [r for r in alike if r.columns.get("group_id") == query.find_run(named).id]
    told = [f"{r.columns.get('status')} {r.id}" for r in members]
    others = sum(r.columns.get("status") == "completed" for r in every)
    said = [f"left out, of the same group: {', '.join(told)}"] if told else []
    if not wanted.runs and others:
        newest = "training and its group" if command == "train" else "encoding"
        said.append(f"left out, for it is of the newest {newest}: {others} others (--run RUN, repeatable)")
    return said


def draw_spectrum(wanted: Wanted) -> Iterable[Picture]:
    """Variance by direction of the vectors of encode runs."""
    from irctl.index.plan import draw
    from irctl.metrics.vectors import moments
    from irctl.pipelines.references import vectors

    runs = _runs(wanted, "encode", "embeddings")  # an encoding may have kept codes alone
    names = _make_distinct([system(r, {"model": r.columns.get("model") or ""}, line_of(r)).label for r in runs], runs)
    points: list[curves.SpectrumPoint] = []
    for run, name in zip(runs, names, strict=True):
        stream = vectors.of_run(run).stream
        x_ND = stream.take(draw(stream.rows, min(stream.rows, SPECTRUM_ROWS), 0))
        points += curves.spectrum_points(name, run.id, moments.of_rows(x_ND).eigenvalues().tolist(), len(x_ND))
    return [Picture("spectrum", *curves.spectrum(points), tuple(_tell_others(wanted, runs, "encode")))]


def _make_distinct(names: Sequence[str], runs: Sequence[RunRecord]) -> list[str]:
    """Names; those that several runs have get the run's id."""
    return [n if names.count(n) == 1 else f"{n} {r.id}" for n, r in zip(names, runs, strict=True)]
