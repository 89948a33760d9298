"""What a figure does not show, and why: a point that is missing is not seen to be missing."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from irctl.reports.records import Record, label_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Picture(NamedTuple):
    """A figure: the name of its files, what is drawn, its data as CSV, and lines on what it leaves out."""

    name: str
    figure: Figure
    data: str
    left_out: tuple[str, ...] = ()


def tell_absent(records: Sequence[Record], data: str, measure: str, lacking: str) -> tuple[str, ...]:
    """Lines on the systems of these records that are not in a figure of a measure.

    data: the figure's CSV, whose run ids say what is there. lacking: why a system with the measure is not.
    """
    drawn = {run for row in csv.DictReader(io.StringIO(data)) for run in (row.get("run_ids") or row["run_id"]).split()}
    there = [r for r in records if r.run_id in drawn]
    shown = {(r.system, r.variant) for r in there}
    # what a compression measured on its own rows stands in the evaluations that came of it
    evaluated = {(run, r.compression) for r in there for run in r.lineage}
    gone = [r for r in records if (r.system, r.variant) not in shown and (r.run_id, r.compression) not in evaluated]
    labels = label_rows(records)
    names = {(r.system, r.variant): labels[r.system, r.variant] for r in gone}
    with_it = {(r.system, r.variant) for r in gone if r.measure == measure}
    without = [name for key, name in names.items() if key not in with_it]
    others = [name for key, name in names.items() if key in with_it]
    told = ((f"without {measure}", without), (lacking, others))
    return tuple(f"left out, {why}: {', '.join(of)}" for why, of in told if of)
