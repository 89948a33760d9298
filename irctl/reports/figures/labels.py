"""Names beside the points of a figure, where there is room for them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irctl.reports.figures.room import Box, length_inside, strokes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

SIZE = 7  # points; a dozen names fit a figure of 7 inches
_APART = 2.0  # points between a name and what is beside it
_REACH = 6.0  # points from the middle of a point to its edge, the ring of the frontier included
_LED = 9.0  # points from which on a line leads to the name
_RADII = (7.0, 11.0, 16.0, 24.0, 33.0, 43.0, 54.0, 66.0, 80.0)
_ANGLES = (0, 30, -30, 60, -60, 90, -90, 150, -150, 120, -120, 180)  # degrees; to the right is easiest to read
_OVERLAP = 10.0  # cost, in pixels that the name is farther off, of a square pixel on another name or outside
_CROSSED = 3.0  # of a pixel of a line under the name
_BESIDE = 0.1  # pixels; less is above or below
_JOINT, _MORE = " + ", ", "


@dataclass(frozen=True)
class Named:
    """A point in the units of the axes, its name, and the colour of it."""

    x: float
    y: float
    name: str
    color: Any


def shorten(labels: Sequence[str]) -> tuple[list[str], str]:
    """(labels without the encoder before `+`, that encoder) where one is behind all that have one, else as they are.

    What stands between, such as a transform of its vectors, stays.
    """
    heads = {label.partition(_JOINT)[0].partition(_MORE)[0] for label in labels if _JOINT in label}
    if len(heads) != 1:
        return list(labels), ""
    head = next(iter(heads))
    return [label.removeprefix(f"{head}{_JOINT}").removeprefix(f"{head}{_MORE}") for label in labels], head


def tell_codes(title: str, encoder: str, systems: Collection[str]) -> str:
    """The title, with whose codes the short names are of where other encoders are in the figure."""
    others = any(_JOINT not in s and s != encoder for s in systems)
    return f"{title}; codes of {encoder}".removeprefix("; ") if encoder and others else title


def place(axes: Axes, points: Sequence[Named]) -> list[Box]:
    """Write each name near its point, off other names, points, lines and the legend where that can be; their boxes.

    In pixels. Limits and scales of the axes have to stand: the layout is computed here.
    """
    from matplotlib import patheffects

    figure: Any = axes.figure
    figure.draw_without_rendering()
    renderer, scale = figure.canvas.get_renderer(), figure.dpi / 72
    inside = tuple(axes.get_window_extent(renderer).extents)
    centres = [tuple(map(float, axes.transData.transform((p.x, p.y)))) for p in points]
    reach = _REACH * scale
    taken: list[Box] = [(x - reach, y - reach, x + reach, y + reach) for x, y in centres]
    if legend := axes.get_legend():
        taken.append(legend.get_window_extent(renderer).extents)
    lines = strokes(axes)
    written: list[Box] = []
    order = sorted(range(len(points)), key=lambda i: (-centres[i][0], -centres[i][1]))
    for i in order:
        point, (x, y) = points[i], centres[i]
        text = axes.annotate(point.name, (point.x, point.y), fontsize=SIZE)
        extent = text.get_window_extent(renderer)
        text.remove()
        others = [*taken[:i], *taken[i + 1 :]]
        dx, dy, box, radius = min(
            _candidates(x, y, extent.width, extent.height, scale),
            key=lambda c: _cost(c[2], others, lines, inside) + c[3] * scale,
        )
        leader = {"arrowstyle": "-", "linewidth": 0.5, "color": "0.6", "shrinkA": 0, "shrinkB": 3}
        text = axes.annotate(
            point.name,
            (point.x, point.y),
            xytext=(dx / scale, dy / scale),
            textcoords="offset points",
            fontsize=SIZE,
            color=point.color,
            ha="left" if dx > _BESIDE else "right" if dx < -_BESIDE else "center",
            va="center",
            arrowprops=leader if radius >= _LED else None,
        )
        text.set_in_layout(False)
        text.set_path_effects([patheffects.withStroke(linewidth=2, foreground="white")])
        taken.append(box)
        written.append(box)
    return written


def _candidates(
    x: float, y: float, width: float, height: float, scale: float
) -> Iterator[tuple[float, float, Box, float]]:
    """(dx, dy in pixels, box, radius in points) of every place that is tried, nearest first."""
    for radius in _RADII:
        for angle in _ANGLES:
            dx = radius * scale * math.cos(math.radians(angle))
            dy = radius * scale * math.sin(math.radians(angle))
            left = x + dx if dx > _BESIDE else x + dx - width if dx < -_BESIDE else x + dx - width / 2
            bottom = y + dy - height / 2
            yield dx, dy, (left, bottom, left + width, bottom + height), radius


def _cost(box: Box, taken: Sequence[Box], lines: NDArray[Any], inside: Sequence[float]) -> float:
    """Area, in pixels, that a name shares with others or has outside the axes, and what it covers of lines, weighed."""
    left, bottom, right, top = box
    shared = sum(
        max(0.0, min(right, r) - max(left, a) + _APART) * max(0.0, min(top, t) - max(bottom, b) + _APART)
        for a, b, r, t in taken
        if min(right, r) - max(left, a) > -_APART and min(top, t) - max(bottom, b) > -_APART
    )
    beyond = max(0.0, inside[0] - left) + max(0.0, right - inside[2]) + max(0.0, inside[1] - bottom)
    outside = (beyond + max(0.0, top - inside[3])) * (top - bottom)
    return _OVERLAP * (shared + outside) + _CROSSED * length_inside(box, lines)
