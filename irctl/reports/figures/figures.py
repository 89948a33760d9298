"""Figures of a paper: drawn without a display, with fixed fonts, saved as PDF, SVG and PNG with their data as CSV."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.errors import DataError
from irctl.files import check_folder, write_out
from irctl.reports.figures import labels
from irctl.reports.figures.fonts import find_fonts
from irctl.reports.figures.looks import COLORS, look, quality_axis, use_logarithm
from irctl.reports.figures.room import put_legend
from irctl.reports.formats.formulas import make_inert
from irctl.reports.records import Record, average_seeds, gather_seeds, label_rows, spread
from irctl.reports.significance import CORRECTED, Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNCOMPRESSED = "uncompressed"

SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "text.parse_math": False,  # a name may hold dollar signs
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "irctl",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": f"cycler('color', {list(COLORS)})",
    "savefig.bbox": "tight",
}
# Without dates the same data gives the same bytes.
METADATA: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}


@dataclass(frozen=True)
class Point:
    """One system of a Pareto plot. line: its compression method; frontier: nothing smaller is as good.

    What reads exact vectors to re-score is off the frontier: its bytes are not all it needs.
    """

    line: str
    system: str
    bytes_per_row: float
    value: float
    frontier: bool
    run_id: str
    sd: float | None = None  # over seeds, None for a single one


def size_of(r: Record) -> float:
    """Bytes a row of its files where they were measured, else bytes a vector; 0 if neither is known."""
    return r.facts.get("bytes_per_row") or r.bytes_per_vector or 0.0


def line_of(r: Record) -> str:
    """The line of a figure that a system is a point of: its compression, apart by transform and where re-scored."""
    of = f"{r.compression or UNCOMPRESSED}{f', {r.transform}' if r.transform else ''}"
    return f"{of}{', re-ranked' if r.rerank else ''}"


def find_unjoined(records: Sequence[Record]) -> set[str]:
    """Lines whose points are not joined: other encoders and depths of re-ranking are not one more setting."""
    encoders: dict[str, set[str]] = {}
    for r in records:
        encoders.setdefault(line_of(r), set()).add(r.vectors)
    return {line_of(r) for r in records if r.rerank or not r.compression or len(encoders[line_of(r)]) > 1}


def pareto_points(records: Sequence[Record], measure: str) -> list[Point]:
    """Systems with a known size, ordered by size, each in the mean of its seeds; raises DataError if there is none."""
    sized = [r for r in records if r.measure == measure and size_of(r)]
    shown = average_seeds(sized)
    spreads = {(of[0].system, of[0].variant, of[0].cell): spread(of) for of in gather_seeds(sized)}
    if not shown:
        raise DataError(
            f"no evaluation with {measure} and a size in bytes a row to draw",
            hint="Run irctl compress, then irctl eval",
        )
    labels = label_rows(shown)
    points = []
    for r in sorted(shown, key=lambda r: (size_of(r), -r.value, r.run_id)):
        beaten = bool(r.rerank) or any(
            o.value >= r.value and size_of(o) <= size_of(r) and (o.value, size_of(o)) != (r.value, size_of(r))
            for o in shown
            if not o.rerank
        )
        name, sd = labels[r.system, r.variant], spreads[r.system, r.variant, r.cell]
        points.append(Point(line_of(r), name, size_of(r), r.value, not beaten, r.run_id, sd))
    return points


def pareto(records: Sequence[Record], measure: str, *, title: str = "") -> tuple[Figure, str]:
    """(figure, CSV): quality over bytes a vector (log), every point with its name as in tables, the frontier marked.

    A colour, marker and dash a compression method, and a line through its best of each size; whiskers are one standard
    deviation of the seeds. Points far below the others stand hollow at the lower edge, with their value.
    """
    points = pareto_points(records, measure)
    unjoined = find_unjoined(records)
    floor = find_floor([100 * p.value for p in points])
    systems = [p.system for p in points]
    short, encoder = labels.shorten(systems)
    names = dict(zip(systems, short, strict=True))
    title = labels.tell_codes(title, encoder, systems)
    named: list[labels.Named] = []
    with use_style() as plt:
        figure, axes = plt.subplots(figsize=(7.2, 4.8))
        for i, line in enumerate(sorted({p.line for p in points})):
            mine = [p for p in points if p.line == line]
            best = {p.bytes_per_row: 100 * p.value for p in sorted(mine, key=lambda p: p.value)}
            joined = sorted((x, y) for x, y in best.items() if y >= floor and line not in unjoined)
            drawn = look(i)
            color = drawn["color"]
            axes.plot([x for x, _ in joined], [y for _, y in joined], linewidth=1, **drawn)
            for p in mine:
                at, height, is_below = p.bytes_per_row, max(100 * p.value, floor), 100 * p.value < floor
                fill: Any = "none" if is_below else "full"
                axes.plot([at], [height], fillstyle=fill, **(drawn | {"linestyle": "none"}))
                if p.sd is not None and not is_below:
                    axes.errorbar([at], [height], [100 * p.sd], fmt="none", ecolor=color, elinewidth=0.8, capsize=2)
                name = names[p.system] + (f" ({100 * p.value:.1f}, below)" if is_below else "")
                named.append(labels.Named(at, height, name, color))
        front = [p for p in points if p.frontier]
        x, y = [p.bytes_per_row for p in front], [max(100 * p.value, floor) for p in front]
        stairs = [(x[i], y[max(0, i - k)]) for i in range(len(x)) for k in (1, 0)]
        axes.plot(*zip(*stairs, strict=True), color="0.85", linewidth=4, zorder=1, label="frontier")
        axes.scatter(x, y, s=90, facecolors="none", edgecolors="black", linewidths=1, zorder=3)
        use_logarithm(axes.xaxis, 2)
        axes.margins(x=0.12, y=0.1)
        axes.set(xlabel="Bytes a vector", ylabel=quality_axis(measure, [p.sd for p in points]), title=title)
        put_legend(axes, "lower right")
        labels.place(axes, named)
    return figure, to_csv(points)


def find_floor(values: Sequence[float]) -> float:
    """What a figure begins at so that the better three quarters of the values fill most of it."""
    ordered = sorted(values)
    quarter = ordered[len(ordered) // 4]
    return max(ordered[0], quarter - 1.5 * (ordered[-1] - quarter)) if ordered[-1] > quarter else ordered[0]


@dataclass(frozen=True)
class SpeedPoint:
    """One system of a plot of quality over speed. line: its compression method."""

    line: str
    system: str
    value: float
    queries_per_s: float
    latency_ms: float | None
    run_id: str


def speed_points(records: Sequence[Record], measure: str) -> list[SpeedPoint]:
    """Systems whose search was timed, fastest first, each in the mean of its seeds. Raises DataError for none."""
    shown = average_seeds(r for r in records if r.measure == measure and r.facts.get("queries_per_s"))
    if not shown:
        raise DataError(
            f"no evaluation with {measure} whose search was timed", hint="irctl eval --index BUNDLE times its search"
        )
    labels = label_rows(shown)
    points = [
        SpeedPoint(
            line_of(r),
            labels[r.system, r.variant],
            r.value,
            r.facts["queries_per_s"],
            r.facts.get("latency_ms"),
            r.run_id,
        )
        for r in shown
    ]
    return sorted(points, key=lambda p: (-p.queries_per_s, p.system, p.run_id))


def speed(records: Sequence[Record], measure: str, *, title: str = "") -> tuple[Figure, str]:
    """(figure, CSV): queries a second (log) over quality, every point with its name, one line a compression method."""
    points = speed_points(records, measure)
    unjoined = find_unjoined(records)
    systems = [p.system for p in points]
    short, encoder = labels.shorten(systems)
    names = dict(zip(systems, short, strict=True))
    named: list[labels.Named] = []
    with use_style() as plt:
        figure, axes = plt.subplots(figsize=(7.2, 4.8))
        for i, line in enumerate(sorted({p.line for p in points})):
            mine = sorted((p for p in points if p.line == line), key=lambda p: p.value)
            drawn = look(i) | ({"linestyle": "none"} if line in unjoined else {})
            x, y = [100 * p.value for p in mine], [p.queries_per_s for p in mine]
            axes.plot(x, y, linewidth=1, **drawn)
            for at, height, p in zip(x, y, mine, strict=True):
                named.append(labels.Named(at, height, names[p.system], drawn["color"]))
        use_logarithm(axes.yaxis)
        axes.margins(x=0.12, y=0.1)
        axes.set(xlabel=f"{measure} ×100", ylabel="Queries a second, timed once")
        axes.set_title(labels.tell_codes(title, encoder, systems))
        labels.place(axes, named)
    return figure, to_csv(points)


def delta(comparisons: Sequence[Comparison], *, title: str = "") -> tuple[Figure, str]:
    """(figure, CSV): differences from the baseline with their 95 % intervals, one line a comparison."""
    if not comparisons:
        raise DataError("no comparison to draw", hint="Add --baseline RUN")
    shown = list(reversed(comparisons))
    names, encoder = labels.shorten([c.name for c in shown])
    places = [f"{c.dataset} {c.measure}" for c in shown]
    with use_style() as plt:
        figure, axes = plt.subplots(figsize=(7.2, 0.8 + 0.2 * len(shown)))
        for i, c in enumerate(shown):
            axes.plot([100 * c.ci_low, 100 * c.ci_high], [i, i], color="0.5", linewidth=1.5)
            axes.plot([100 * c.delta], [i], marker="o", color="black", fillstyle="full" if c.daggers else "none")
            if i and places[i] != places[i - 1]:
                axes.axhline(i - 0.5, color="0.7", linewidth=0.8)
        axes.axvline(0, color="black", linewidth=0.8)
        told = names if len(set(places)) == 1 else [f"{n}, {p}" for n, p in zip(names, places, strict=True)]
        axes.set_yticks(range(len(shown)), told, fontsize=8)
        axes.set_ylim(-0.7, len(shown) - 0.3)
        of = f"{title or places[0]} " if len(set(places)) == 1 else title
        rule = f"{CORRECTED[comparisons[0].correction]} over {comparisons[0].family}"
        axes.set_xlabel(f"Difference ×100; bars: 95 % by bootstrap, uncorrected\nfilled: p < .05, {rule}")
        against = f"{of}against {comparisons[0].baseline}".strip()
        axes.set_title(labels.tell_codes(against, encoder, [c.name for c in shown]))
    return figure, to_csv(comparisons)


def save(figure: Figure, data: str, folder: Path, name: str) -> list[Path]:
    """Write NAME.pdf, .svg, .png and .csv; the same data gives the same bytes."""
    check_folder(folder)
    written = [folder / f"{name}.{kind}" for kind in METADATA]
    for path, kind in zip(written, METADATA, strict=True):
        write_out(path, encode(figure, kind))
    close(figure)
    table = folder / f"{name}.csv"
    write_out(table, data)
    return [*written, table]


def encode(figure: Figure, kind: str) -> bytes:
    """The figure as the content of a file of this kind: pdf, svg or png."""
    drawn = io.BytesIO()
    with use_style():
        figure.savefig(drawn, format=kind, dpi=200, metadata=METADATA[kind])
    return drawn.getvalue()


def close(figure: Figure) -> None:
    """Let go of a figure that is not asked for any more."""
    with use_style() as plt:
        plt.close(figure)


@contextmanager
def use_style() -> Iterator[Any]:
    """pyplot on the Agg backend with our settings, put back afterwards."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context(SETTINGS | {"font.family": find_fonts()}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # fonts.find_undrawn says it
        yield pyplot


def to_csv(items: Sequence[Any]) -> str:
    """Dataclass instances of one kind as rows."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([f.name for f in fields(items[0])])
    writer.writerows(map(make_inert, astuple(item)) for item in items)
    return out.getvalue()
