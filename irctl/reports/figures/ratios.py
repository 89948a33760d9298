"""Quality over the tokens that a context takes: a line each way to make it, between no context and the whole one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from irctl.errors import DataError
from irctl.reports.answers_table import NONE, WHOLE, find_rows, mean_tokens
from irctl.reports.figures.figures import to_csv, use_style
from irctl.reports.figures.looks import look, quality_axis, use_logarithm
from irctl.reports.figures.room import put_legend
from irctl.reports.records import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class RatioPoint:
    """One row of the table. ratio: 0 for no and for the whole context. sd: over seeds, None for a single one."""

    line: str
    ratio: int
    tokens: float
    value: float
    sd: float | None
    run_ids: str


def ratio_points(records: Sequence[Record], measure: str) -> list[RatioPoint]:
    """Raises DataError where nothing was answered by contexts."""
    points = []
    for row in find_rows(records):
        if values := [r.value for r in row.of(measure)]:
            line = row.label.replace(f" {row.ratio}x", "", 1) if row.ratio else row.label
            sd = stdev(values) if len(values) > 1 else None
            runs = " ".join(dict.fromkeys(r.run_id for r in row.of(measure)))
            points.append(RatioPoint(line, row.ratio, mean_tokens(row), fmean(values), sd, runs))
    if not points:
        raise DataError("no answers by contexts to draw", hint="irctl eval --task rag-qa --model RUN --data FILE")
    return points


def ratios(records: Sequence[Record], measure: str, *, title: str = "") -> tuple[Figure, str]:
    """(figure, CSV): tokens of the context (log), quality; dashed lines at no and at the whole context."""
    points = ratio_points(records, measure)
    with use_style() as plt:
        figure, axes = plt.subplots(figsize=(6.4, 4.2))
        for i, line in enumerate(dict.fromkeys(p.line for p in points if p.ratio)):
            mine = sorted((p for p in points if p.ratio and p.line == line), key=lambda p: p.tokens)
            axes.errorbar(
                [p.tokens for p in mine],
                [100 * p.value for p in mine],
                yerr=[100 * (p.sd or 0.0) for p in mine] if any(p.sd for p in mine) else None,
                **look(i),
                linewidth=1.2,
                elinewidth=0.8,
                label=line,
            )
        for p in (p for p in points if p.line.startswith((WHOLE, NONE))):
            is_whole = p.line.startswith(WHOLE)
            axes.axhline(100 * p.value, linestyle="--" if is_whole else ":", linewidth=0.9, color="0.4")
            place, side = (1, 100 * p.value), "bottom" if is_whole else "top"
            axes.annotate(p.line, place, xycoords=("axes fraction", "data"), ha="right", va=side)
        axes.margins(y=0.08)
        use_logarithm(axes.xaxis, 2)
        axes.set(xlabel="Tokens of the context", ylabel=quality_axis(measure, [p.sd for p in points]), title=title)
        put_legend(axes, "upper left")
    return figure, to_csv(points)
