"""Legends and names find the room that lines, bands and whiskers leave."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.legend import Legend

from irctl.reports.figures.figures import use_style
from irctl.reports.figures.room import length_inside, put_legend, strokes


def test_a_segment_counts_by_what_of_it_lies_in_the_box() -> None:
    box = (0.0, 0.0, 10.0, 10.0)
    within, through, beside, upright = (1, 1, 4, 5), (-10, 5, 20, 5), (-5, 20, 30, 20), (3, -7, 3, 4)
    for segment, expected in ((within, 5), (through, 10), (beside, 0), (upright, 4)):
        assert length_inside(box, np.asarray([segment], float)) == pytest.approx(expected)
    assert length_inside(box, np.asarray([within, through], float)) == pytest.approx(15)
    assert length_inside(box, np.zeros((0, 4))) == 0


def axes_with(low: list[float], high: list[float]) -> Axes:
    """A line in the middle of a band."""
    with use_style() as plt:
        _, axes = plt.subplots(figsize=(4, 3))
        axes.plot(range(len(low)), [(a + b) / 2 for a, b in zip(low, high, strict=True)], label="mean")
        axes.fill_between(range(len(low)), low, high, alpha=0.2)
    return axes


def box_of(legend: Legend) -> tuple[float, float, float, float]:
    return tuple(legend.get_window_extent(legend.axes.figure.canvas.get_renderer()).extents)


def test_a_legend_keeps_the_free_corner_that_it_was_given() -> None:
    axes = axes_with([0, 1, 2], [1, 2, 3])
    before = axes.get_ylim()
    left, _, _, top = box_of(put_legend(axes, "lower right"))
    middle_x, middle_y = axes.transAxes.transform((0.5, 0.5))
    assert left > middle_x and top < middle_y and axes.get_ylim() == before


def test_a_legend_goes_above_a_band_that_fills_every_corner() -> None:
    """matplotlib's own best place looks at lines, and lays a legend on a band."""
    axes = axes_with([0, 0, 0], [1, 1, 1])
    box = box_of(put_legend(axes))
    assert axes.get_ylim()[0] < 0 and box[1] > axes.transData.transform((0, 1))[1]
    assert box[3] < axes.transAxes.transform((0, 1))[1]


def test_a_legend_is_put_off_whiskers_and_on_a_logarithmic_axis_room_is_made_too() -> None:
    with use_style() as plt:
        _, axes = plt.subplots(figsize=(4, 3))
        axes.errorbar(range(9), [10] * 9, [9] * 9, label="whiskers", capsize=2)
        axes.set_yscale("log")
    box = box_of(put_legend(axes))
    assert length_inside(box, strokes(axes)) == 0 and axes.get_ylim()[1] > 19 * 1.2
