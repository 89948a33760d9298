"""Quality over bytes, one line a transform or model: what each does to codes of every size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from irctl.reports.code_pivot import UNCOMPRESSED, arrange
from irctl.reports.figures import labels
from irctl.reports.figures.figures import to_csv, use_style
from irctl.reports.figures.looks import look, quality_axis, use_logarithm
from irctl.reports.figures.room import put_legend
from irctl.reports.records import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class CodePoint:
    """One code in one column of the table. best: whether its line goes through it; sd: None for a single start."""

    line: str
    code: str
    bytes_per_vector: float
    value: float
    sd: float | None
    best: bool
    run_ids: str


def code_points(records: Sequence[Record], measure: str) -> list[CodePoint]:
    """Codes with a known size, by column and size; of one size the best is on the line. Raises DataError for none."""
    pivot = arrange(records, measure)
    points = []
    for place, header in pivot.headers.items():
        mine = [(size, of[place]) for (_, size), of in pivot.cells.items() if size and place in of]
        values = [(size, fmean(r.value for r in of), of) for size, of in mine]
        best = {size: max(v for s, v, _ in values if s == size) for size, _, _ in values}
        points += [
            CodePoint(
                header,
                of[0].code_label or UNCOMPRESSED,
                size,
                value,
                stdev(r.value for r in of) if len(of) > 1 else None,
                value == best[size],
                " ".join(r.run_id for r in of),
            )
            for size, value, of in sorted(values, key=lambda v: v[:2])
        ]
    return points


def code_sizes(records: Sequence[Record], measure: str, *, title: str = "") -> tuple[Figure, str]:
    """(figure, CSV): quality over bytes a vector (log), a line a column through the best of each size.

    Whiskers are one standard deviation of the starts; codes off the line stand hollow, with their names.
    """
    points = code_points(records, measure)
    named: list[labels.Named] = []
    with use_style() as plt:
        figure, axes = plt.subplots(figsize=(6.4, 4.2))
        for i, line in enumerate(dict.fromkeys(p.line for p in points)):
            mine = [p for p in points if p.line == line]
            joined, drawn = [p for p in mine if p.best], look(i)
            x, y = [p.bytes_per_vector for p in joined], [100 * p.value for p in joined]
            axes.plot(x, y, linewidth=1.2, label=line, **drawn)
            for p in mine:
                at, height = [p.bytes_per_vector], [100 * p.value]
                if not p.best:
                    axes.plot(at, height, fillstyle="none", **(drawn | {"linestyle": "none"}))
                    named.append(labels.Named(at[0], height[0], p.code, drawn["color"]))
                if p.sd is not None:
                    axes.errorbar(
                        at, height, [100 * p.sd], fmt="none", ecolor=drawn["color"], elinewidth=0.8, capsize=2
                    )
        use_logarithm(axes.xaxis, 2)
        axes.set(xlabel="Bytes a vector", ylabel=quality_axis(measure, [p.sd for p in points]), title=title)
        put_legend(axes, "lower right", title="hollow: not the best of its size" if named else "")
        labels.place(axes, named)
    return figure, to_csv(points)
