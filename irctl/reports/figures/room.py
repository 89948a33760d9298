"""Where a picture is free: what its lines, bands and whiskers cover, and a legend that covers none of them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend
    from matplotlib.transforms import Bbox

Box = tuple[float, float, float, float]
"""left, bottom, right, top; in pixels."""

CORNERS = ("upper right", "upper left", "lower right", "lower left")
_APART = 4.0  # points between a legend and what is drawn
_WIDEST = 52  # characters of a line of a legend: a panel of four inches holds them
_MOST = 0.6  # share of the height that a legend may ask for


def strokes(axes: Axes) -> NDArray[np.float64]:
    """(segments, 4): x and y of both ends, in pixels, of every line and whisker. The layout has to stand."""
    found: list[NDArray[np.float64]] = []
    for line in axes.lines:
        if line.get_linestyle() != "None":
            found.append(line.get_transform().transform(np.asarray(line.get_path().vertices)))
    for whiskers in axes.collections:
        if not len(whiskers.get_facecolor()):
            shift = whiskers.get_transform()
            found += [shift.transform(np.asarray(path.vertices)) for path in whiskers.get_paths()]
    ends = [np.hstack([ends_N2[:-1], ends_N2[1:]]) for ends_N2 in found if len(ends_N2) > 1]
    return np.concatenate(ends) if ends else np.zeros((0, 4))


def length_inside(box: Box, strokes_S4: NDArray[np.float64]) -> float:
    """How many pixels of the segments lie in a box (Liang and Barsky 1984: clip each by the four edges)."""
    start, way = strokes_S4[:, :2], strokes_S4[:, 2:] - strokes_S4[:, :2]
    with np.errstate(divide="ignore", invalid="ignore"):
        at_low, at_high = (np.asarray(box[:2]) - start) / way, (np.asarray(box[2:]) - start) / way
    enter, leave = np.fmin(at_low, at_high), np.fmax(at_low, at_high)
    # along an axis on which a segment does not move it is inside all the way or nowhere
    still = way == 0
    within = (start >= np.asarray(box[:2])) & (start <= np.asarray(box[2:]))
    enter = np.where(still, np.where(within, -np.inf, np.inf), enter)
    leave = np.where(still, np.where(within, np.inf, -np.inf), leave)
    share = np.minimum(leave.min(axis=1), 1) - np.maximum(enter.max(axis=1), 0)
    return float((np.maximum(share, 0) * np.hypot(way[:, 0], way[:, 1])).sum())


def is_free(axes: Axes, box: Bbox, renderer: Any) -> bool:
    """Whether nothing is drawn in a box: no line, whisker, band, marker or text."""
    if length_inside((box.x0, box.y0, box.x1, box.y1), strokes(axes)):
        return False
    for line in axes.lines:
        if box.count_contains(line.get_transform().transform(np.asarray(line.get_path().vertices))):
            return False
    for drawn in axes.collections:
        shift = drawn.get_transform()
        if any(shift.transform_path(path).intersects_bbox(box, filled=True) for path in drawn.get_paths()):
            return False
        if box.count_contains(drawn.get_offset_transform().transform(drawn.get_offsets())):
            return False
    return not any(box.overlaps(text.get_window_extent(renderer)) for text in axes.texts)


def put_legend(axes: Axes, first: str = CORNERS[0], *, title: str = "") -> Legend:
    """A legend in a free corner, that named `first` before others; where none is free, above all, and room is made."""
    handles, names = axes.get_legend_handles_labels()
    names = [textwrap.fill(name, _WIDEST, break_on_hyphens=False) for name in names]
    figure: Any = axes.figure
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    corners: Sequence[str] = sorted(CORNERS, key=lambda corner: corner != first)

    def put(corner: Any) -> tuple[Legend, Bbox]:
        legend = axes.legend(
            handles, names, loc=corner, frameon=False, fontsize=8, title=title, title_fontsize=8, alignment="left"
        )
        return legend, legend.get_window_extent(renderer).padded(_APART * figure.dpi / 72)

    for corner in corners:
        legend, box = put(corner)
        if is_free(axes, box, renderer):
            return legend
    legend, box = put(next(corner for corner in corners if corner.startswith("upper")))
    inside = axes.get_window_extent(renderer)
    share = min((inside.y1 - box.y0) / inside.height, _MOST)
    scale: Any = axes.yaxis.get_transform()
    low, high = scale.transform(axes.get_ylim())
    axes.set_ylim(top=float(scale.inverted().transform([low + (high - low) / (1 - share)])[0]))
    return legend
