"""How lines of a figure are told apart: colours that colour-blind readers see, markers and dashes for grey print.

Source of the colours: Okabe and Ito 2008, "Color Universal Design", without the yellow, which white paper swallows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axis import Axis

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX*"
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def look(i: int, *, markers: bool = True) -> dict[str, Any]:
    """What the i-th line is drawn with; no two of the first 280 are alike."""
    shown = {"color": COLORS[i % len(COLORS)], "linestyle": _DASHES[i % len(_DASHES)]}
    return shown | ({"marker": MARKERS[i % len(MARKERS)], "markersize": 5} if markers else {})


def quality_axis(measure: str, spreads: Iterable[float | None]) -> str:
    """What the axis of a measure is called: where points have whiskers it says what they are."""
    return f"{measure} ×100" + (", ± sd over seeds" if any(sd is not None for sd in spreads) else "")


def use_logarithm(axis: Axis, base: int = 10) -> None:
    """A logarithmic axis whose numbers are plain text: figures read no formulas, for names may hold dollar signs."""
    from matplotlib.ticker import FuncFormatter, LogFormatter

    axes: Any = axis.axes
    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log", base=base)
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(LogFormatter(base, labelOnlyBase=False))
