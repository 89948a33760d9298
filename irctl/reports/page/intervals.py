"""Every test and interval of a table in one form: for a cell's hover text, its panel, and the table below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from irctl.reports.columns import Column
from irctl.reports.equal_bytes import GAP
from irctl.reports.table import Row, Table


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A difference, or a share of one (of: Gap closed), with its 95 % interval; None: no bound, or no test of it.

    system, column: whose it is, the column empty where the data set, split and measure say it. line: all in words.
    """

    system: str
    against: str
    of: str
    dataset: str
    value: float
    low: float | None
    high: float | None
    n: int | None
    p: float | None = None
    p_adj: float | None = None
    outcomes: str = ""
    kind: str = "measure"
    column: str = ""
    cell: tuple[str, str, str] = ("", "", "")
    line: str


def list_intervals(table: Table) -> list[Interval]:
    """Those of the table, in its order: tests, averages, gaps."""
    found = [
        Interval(
            system=c.name,
            against=c.baseline,
            of=f"{c.dataset} {c.split} {c.measure}",
            dataset=c.dataset,
            value=c.delta,
            low=c.ci_low,
            high=c.ci_high,
            n=c.n,
            p=c.p_raw,
            p_adj=c.p_adj,
            outcomes=f"{c.wins}/{c.ties}/{c.losses}",
            column=c.column,
            cell=(c.dataset, c.split, c.measure),
            line=c.line,
        )
        for c in table.comparisons
    ]
    base = table.comparisons[0].baseline if table.comparisons else "the baseline"
    for m in table.macro:
        line = f"Avg {m.measure}: {m.system} - {base} = {m.delta:+.4f} [{m.low:+.4f}, {m.high:+.4f}]"
        found.append(
            Interval(
                system=m.system,
                against=base,
                of=f"Avg {m.measure}",
                dataset="",
                value=m.delta,
                low=m.low,
                high=m.high,
                n=None,
                kind="average",
                line=line,
            )
        )
    for g in table.gaps:
        found.append(
            Interval(
                system=g.system,
                against=g.reference,
                of=f"Gap closed, {g.dataset} {g.split} {g.measure}",
                dataset=g.dataset,
                value=g.gap,
                low=g.low,
                high=g.high,
                n=g.n or None,
                kind=GAP,
                line=g.line,
            )
        )
    return found


def of_cell(table: Table) -> Callable[[Row, Column], Sequence[Interval]]:
    """What finds the intervals of a cell; a comparison of all pairs is of both its rows."""
    by_system: dict[str, list[Interval]] = {}
    is_all_pairs = len({c.baseline for c in table.comparisons}) > 1
    for one in list_intervals(table):
        names = {one.system.removesuffix(f", {one.column}") if one.column else one.system}
        for name in names | ({one.against} if is_all_pairs else set()):
            by_system.setdefault(name, []).append(one)

    def find(row: Row, column: Column) -> Sequence[Interval]:
        kind = GAP if column.key == GAP else column.kind
        mine = [
            one
            for one in by_system.get(row.tested_as or row.label, ())
            if one.kind == kind and one.column in ("", column.key)
        ]
        if kind != "measure":
            return mine
        whole = [one for one in mine if one.cell == column.cell]
        return whole or [one for one in mine if not column.dataset and one.cell[2] == column.measure]

    return find
