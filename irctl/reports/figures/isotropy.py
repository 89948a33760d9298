"""Quality over isotropy: fronts of soft whitening as lines, other transforms beside them, trained runs as stars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from irctl.errors import DataError
from irctl.reports.comparisons import PerQuery
from irctl.reports.figures import labels
from irctl.reports.figures.figures import to_csv, use_style
from irctl.reports.figures.looks import look, quality_axis
from irctl.reports.figures.room import put_legend
from irctl.reports.isotropy_rows import IsotropyRow, find_fronts, find_systems, similarity_of
from irctl.reports.records import Record
from irctl.reports.table import TableOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRONT, TRANSFORM, TRAINED, OTHER = "front", "transform", "trained", "other"
_TOLD = {FRONT: "line: soft whitening", TRANSFORM: "hollow: other transforms", TRAINED: "stars: trained"}


@dataclass(frozen=True)
class IsotropyPoint:
    """One row of the table. kind: front, transform, trained or other. sd, iso_sd: over seeds; None of a single one.

    line: of a point of a front, which of the similarity's fronts; 0 for others.
    """

    similarity: str
    model: str
    line: int
    kind: str
    system: str
    iso: float
    value: float
    iso_sd: float | None
    sd: float | None
    seeds: int
    run_ids: str


def isotropy_points(records: Sequence[Record], measure: str, per_query: PerQuery) -> list[IsotropyPoint]:
    """The rows of the table in its order, those of each front first, in the order of its line. DataError for none."""
    systems = find_systems(records, measure, TableOptions(per_query=per_query))
    if not systems:
        raise DataError(
            f"no evaluation with {measure} and an IsoScore to draw",
            hint="irctl eval --index latest --transforms front makes some",
        )
    points = []
    for similarity in sorted({similarity_of(s) for s in systems}):
        mine = [s for s in systems if similarity_of(s) == similarity]
        fronts = [(s, i) for i, line in enumerate(find_fronts(mine), 1) for s in line]
        on_line = {s.key for s, _ in fronts}
        points += [_point(s, FRONT, i) for s, i in fronts]
        points += [_point(s, _kind(s)) for s in mine if s.key not in on_line]
    return points


def _kind(system: IsotropyRow) -> str:
    first = system.records[-1]
    return TRAINED if first.seed is not None else TRANSFORM if first.transform else OTHER


def _point(system: IsotropyRow, kind: str, line: int = 0) -> IsotropyPoint:
    first = system.records[-1]
    values = [r.value for r in system.records]
    isos = [r.facts["iso"] for r in system.records]
    name = (first.transform or "untouched") if first.part else system.label
    several = len(values) > 1
    return IsotropyPoint(
        similarity_of(system),
        first.model,
        line,
        kind,
        name,
        fmean(isos),
        fmean(values),
        stdev(isos) if several else None,
        stdev(values) if several else None,
        len(values),
        " ".join(r.run_id for r in system.records),
    )


def isotropy(records: Sequence[Record], measure: str, *, title: str = "", per_query: PerQuery) -> tuple[Figure, str]:
    """(figure, CSV): quality over held-out IsoScore, a colour a similarity, a line a front; whiskers: sd over seeds.

    A marker a similarity and a dash a front, for grey print.
    """
    points = isotropy_points(records, measure, per_query)
    named: list[labels.Named] = []
    told = {p.kind: _TOLD[p.kind] for p in points if p.kind in _TOLD}
    dashes = count()
    with use_style() as plt:
        figure, axes = plt.subplots(figsize=(7.2, 4.8))
        for i, similarity in enumerate(dict.fromkeys(p.similarity for p in points)):
            mine, drawn = [p for p in points if p.similarity == similarity], look(i)
            color, marker = drawn["color"], drawn["marker"]
            fronts = [[p for p in mine if p.line == n] for n in range(1, max(p.line for p in mine) + 1)]
            for front in fronts:
                label = similarity if len(fronts) < 2 else f"{similarity}, {front[0].model.rpartition('/')[2]}"
                shown = [100 * p.value for p in front]
                style = {"linestyle": look(next(dashes))["linestyle"], "marker": marker, "markersize": 4}
                axes.plot([p.iso for p in front], shown, color=color, label=label, linewidth=1.2, **style)
            if not fronts:
                axes.plot([], [], color=color, marker=marker, markersize=4, linestyle="none", label=similarity)
            for p in mine:
                fill: Any = "full" if p.kind in (FRONT, TRAINED) else "none"
                axes.errorbar(
                    [p.iso],
                    [100 * p.value],
                    xerr=None if p.iso_sd is None else [p.iso_sd],
                    yerr=None if p.sd is None else [100 * p.sd],
                    marker="*" if p.kind == TRAINED else marker,
                    markersize=9 if p.kind == TRAINED else 4,
                    color=color,
                    fillstyle=fill,
                    elinewidth=0.8,
                    capsize=2,
                )
                named.append(labels.Named(p.iso, 100 * p.value, p.system, color))
        axes.margins(x=0.1, y=0.08)
        axes.set(
            xlabel="IsoScore, debiased, held out", ylabel=quality_axis(measure, [p.sd for p in points]), title=title
        )
        put_legend(axes, "lower left", title="; ".join(told.values()))
        labels.place(axes, named)
    return figure, to_csv(points)
