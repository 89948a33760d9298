"""Figures of `irctl report`: what each kind is drawn from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from irctl import plugins
from irctl.errors import ConfigError
from irctl.pipelines.report import report, run_figures
from irctl.pipelines.report.records import gather, open_per_query
from irctl.pipelines.report.report import OF_TABLES, Wanted
from irctl.reports import neighbour_recall
from irctl.reports.columns import ANSWERS, CODE_PIVOT, ISOTROPY, headline
from irctl.reports.figures import code_sizes, figures, isotropy, ratios
from irctl.reports.figures.absent import Picture, tell_absent
from irctl.reports.figures.fonts import find_undrawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from irctl.reports.records import Record

    Draw = Callable[..., tuple[Figure, str]]

LACKING = {
    "pareto": "of no known size in bytes",
    "speed": "whose search was not timed",
    CODE_PIVOT: "without vectors, or of no known size in bytes",
    ISOTROPY: "compressed, or without an IsoScore",
    "ratios": "answered by no contexts",
}
"""Figures of records -> what is true of those that have the measure and are not drawn."""

UNFIT = {
    **dict.fromkeys(LACKING, OF_TABLES),
    "delta": (),
    "curves": (*OF_TABLES, "table", "datasets", "split"),
    "spectrum": (*OF_TABLES, "table", "datasets", "split", "measures"),
}
"""Figures -> what has no meaning in them."""


def draw_figure(kind: str, folder: Path, wanted: Wanted, left_out: list[str] | None = None) -> list[Path]:
    """Draw a figure and save it in every format; the files written. left_out: takes what it does not show, and why."""
    wanted.refuse(UNFIT.get(kind, ()), f"--figure {kind}")
    written = []
    for name, figure, data, notes in draw(kind, wanted):
        written += figures.save(figure, data, folder, name)
        if left_out is not None:
            left_out += [f"{name}: {note}" for note in notes]
    return written


def draw(kind: str, wanted: Wanted) -> Iterable[Picture]:
    """The figures of a kind, one a data set where it is of one."""
    kinds: dict[str, Callable[[Wanted], Iterable[Picture]]] = {
        "pareto": _pareto,
        "speed": _speed,
        "delta": _delta,
        "curves": run_figures.draw_curves,
        "spectrum": run_figures.draw_spectrum,
        CODE_PIVOT: _code_sizes,
        ISOTROPY: _isotropy,
        "ratios": _ratios,
    }
    if kind not in kinds:
        raise ConfigError(f"--figure {kind}: expected {', '.join(kinds)}", hint=plugins.near(kind, list(kinds)))
    wanted.check()
    return (p._replace(left_out=(*p.left_out, *find_undrawn(p.figure))) for p in kinds[kind](wanted))


def _delta(wanted: Wanted) -> Iterable[Picture]:
    compared = [c for t in report.make_tables(wanted) for c in t.comparisons]
    return [Picture("delta", *figures.delta(compared))]


def _pareto(wanted: Wanted) -> Iterable[Picture]:
    """Judged quality where there is some, else recall of exact neighbours, else that of the probe; one a data set."""
    records = report.narrow(gather(wanted.runs, probes=True), wanted)
    shown = records if report.read_measures(wanted) else neighbour_recall.keep_judged(records) or records
    return _one_a_place("pareto", figures.pareto, shown, wanted, records)


def _speed(wanted: Wanted) -> Iterable[Picture]:
    """Recall of exact neighbours where it was measured, else judged quality; one a data set."""
    records = report.narrow(gather(wanted.runs), wanted)
    timed = [r for r in records if r.facts.get("queries_per_s")]
    if not report.read_measures(wanted):
        timed = [r for r in timed if neighbour_recall.is_recall(r.measure)] or timed
    return _one_a_place("speed", figures.speed, timed, wanted, records)


def _code_sizes(wanted: Wanted) -> Iterable[Picture]:
    """Judged quality over bytes, a line a transform or model; one a data set."""
    records = neighbour_recall.keep_judged(report.narrow(gather(wanted.runs), wanted))
    return _one_a_place(CODE_PIVOT, code_sizes.code_sizes, records, wanted, records)


def _isotropy(wanted: Wanted) -> Iterable[Picture]:
    """Judged quality over IsoScore: transforms as a line, trainings as points; one a data set."""
    gathered = report.narrow(gather(wanted.runs), replace(wanted, table=ISOTROPY))
    judged = neighbour_recall.keep_judged(gathered)
    records = [r for r in judged if "iso" in r.facts] or gathered
    draw = partial(isotropy.isotropy, per_query=open_per_query())
    return _one_a_place(ISOTROPY, draw, records, wanted, judged)


def _ratios(wanted: Wanted) -> Iterable[Picture]:
    """Answers over the tokens of their contexts; one a data set."""
    records = report.narrow(gather(wanted.runs), replace(wanted, table=ANSWERS))
    return _one_a_place("ratios", ratios.ratios, records, wanted, records)


def _one_a_place(
    kind: str, draw: Draw, records: Sequence[Record], wanted: Wanted, every: Sequence[Record]
) -> Iterable[Picture]:
    """A figure for every data set and split, of the measures asked for or the best known of neighbours.

    every: those that one might look for in it.
    """
    measures = report.read_measures(wanted)
    if not measures and not neighbour_recall.keep_judged(records):
        measures = [next((m for m in neighbour_recall.QUALITY if any(r.measure == m for r in records)), "")]
    if measures:
        records = [r for r in records if r.measure in measures] or records
    places = list(dict.fromkeys((r.dataset, r.split) for r in records))
    for dataset, split in places or [("", "")]:
        mine = [r for r in records if (r.dataset, r.split) == (dataset, split)]
        measure = headline(mine, measures)
        figure, data = draw(mine, measure, title=f"{dataset} {split}")
        name = kind if len(places) < 2 else f"{kind}-{dataset}-{split}".replace("/", "-")
        here = [r for r in every if (r.dataset, r.split) == (dataset, split) or (r.dataset, r.split) not in places]
        # one at a time: open figures take memory
        yield Picture(name, figure, data, tell_absent(here, data, measure, LACKING[kind]))
