"""Figures of lines: training curves, and the spectrum of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from irctl.errors import DataError
from irctl.reports.figures.figures import to_csv, use_style
from irctl.reports.figures.looks import look, use_logarithm
from irctl.reports.figures.room import put_legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSS = "loss"
"""The name of the loss among the measurements of a training."""

_ROUNDING = 1e-12  # shares below come from float32 vectors that have no variance there; of the axis they would be most


@dataclass(frozen=True)
class CurvePoint:
    """One value of a training: its loss, or a measure on the development split."""

    system: str
    measure: str
    step: int
    value: float
    run_id: str
    group: str = ""  # trainings of one differ in the seed alone


@dataclass(frozen=True)
class SpectrumPoint:
    """One principal direction, the first with the largest variance. share, cumulative: of the whole variance."""

    system: str
    direction: int
    variance: float
    share: float
    cumulative: float
    rows: int
    run_id: str


def curves(points: Sequence[CurvePoint], *, title: str = "") -> tuple[Figure, str]:
    """(figure, CSV): a panel for the loss and one a development measure, over optimiser steps; a line a training.

    Trainings of one group are one line, their mean, in a band from the smallest to the largest, over the steps of all.

    The values of two losses, or of one loss with other batches, have scales of their own: of several lines each is
    drawn over its first value.
    """
    if not points:
        raise DataError("no training with measured steps to draw", hint="irctl train makes one; name it with --run")
    measures = sorted({p.measure for p in points}, key=lambda m: (m != LOSS, m))
    lines = list(dict.fromkeys(p.group or p.system for p in points))
    loss_label = "Loss" if len(lines) == 1 else "Loss, over its first value"
    with use_style() as plt:
        size = (4.2 * len(measures), 3.2)
        figure, panels = plt.subplots(1, len(measures), figsize=size, squeeze=False)
        for axes, measure in zip(panels[0], measures, strict=True):
            for i, line in enumerate(lines):
                mine = [p for p in points if (p.group or p.system, p.measure) == (line, measure)]
                seeds = len({p.run_id for p in mine})
                by_step: dict[int, list[float]] = {}
                for p in mine:
                    by_step.setdefault(p.step, []).append(p.value)
                x = sorted(step for step, values in by_step.items() if len(values) == seeds)
                drawn = look(i, markers=measure != LOSS)
                label = line if seeds < 2 else f"{line}: mean of {seeds} seeds, smallest to largest"
                unit = abs(fmean(by_step[x[0]])) if measure == LOSS and len(lines) > 1 and x else 1.0
                unit = unit or 1.0  # a loss that begins at 0 is drawn as it is
                axes.plot(x, [fmean(by_step[step]) / unit for step in x], linewidth=1.2, label=label, **drawn)
                if seeds > 1:
                    low, high = [min(by_step[s]) / unit for s in x], [max(by_step[s]) / unit for s in x]
                    axes.fill_between(x, low, high, color=drawn["color"], alpha=0.2, linewidth=0)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set(xlabel="Step", ylabel=loss_label if measure == LOSS else f"{measure} (dev)", title=title)
        put_legend(panels[0][-1])
    return figure, to_csv(points)


def spectrum_points(system: str, run_id: str, variances: Sequence[float], rows: int) -> list[SpectrumPoint]:
    """Points of one set of vectors, from its variances, largest first."""
    total, running = sum(variances) or 1.0, 0.0
    points = []
    for i, value in enumerate(variances, 1):
        running += value
        points.append(SpectrumPoint(system, i, value, value / total, running / total, rows, run_id))
    return points


def spectrum(points: Sequence[SpectrumPoint], *, title: str = "") -> tuple[Figure, str]:
    """(figure, CSV): share of the variance by direction (both axes log), and what the first directions hold."""
    if not points:
        raise DataError("no encoded vectors to draw", hint="irctl encode makes some; name a run with --run")
    with use_style() as plt:
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.2))
        for i, system in enumerate(dict.fromkeys(p.system for p in points)):
            mine = [p for p in points if p.system == system]
            drawn, x = look(i, markers=False), [p.direction for p in mine]
            shown = [p for p in mine if p.share > _ROUNDING]
            left.plot([p.direction for p in shown], [p.share for p in shown], linewidth=1.2, label=system, **drawn)
            right.plot(x, [100 * p.cumulative for p in mine], linewidth=1.2, label=system, **drawn)
        use_logarithm(left.xaxis)
        use_logarithm(left.yaxis)
        left.set(xlabel="Principal direction", ylabel="Share of the variance", title=title)
        right.set(xlabel="Directions kept", ylabel="Variance held, %", ylim=(0, 102))
        put_legend(left, "lower left")
    return figure, to_csv(points)
