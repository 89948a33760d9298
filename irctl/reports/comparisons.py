"""The family of comparisons that a table shows: each row against the baseline (or all pairs), corrected together."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from irctl.errors import DataError
from irctl.reports.columns import Column, averaged
from irctl.reports.records import Record, RowKey
from irctl.reports.significance import Comparison, compare, correct, differences, stratified_bootstrap

PerQuery = Callable[[Record], Mapping[str, float] | None]
"""Per-query values of a record, or None if they were not kept."""


def compare_rows(
    records: Sequence[Record],
    labels: Mapping[RowKey, str],
    columns: Sequence[Column],
    baseline: RowKey | None,
    per_query: PerQuery,
    test: str,
    correction: str,
) -> list[Comparison]:
    """Every (row, baseline, data set, measure) of the table; without a baseline every pair of rows."""
    comparisons: list[Comparison] = []
    pairs = list(itertools.combinations(labels, 2))
    if baseline is not None:
        pairs = [(key, baseline) for key in labels if key != baseline]
    cells = dict.fromkeys(c.cell for c in columns if c.kind == "measure")
    of_row: dict[tuple[RowKey, tuple[str, str, str]], list[Record]] = {}
    for r in records:
        of_row.setdefault(((r.system, r.variant), r.cell), []).append(r)
    for dataset, split, measure in cells:
        cell = (dataset, split, measure)
        values = {key: average_queries(key, cell, of_row.get((key, cell), []), per_query) for key in labels}
        for key, other in pairs:
            if (mine := values[key]) is not None and (theirs := values[other]) is not None:
                one = compare(mine, theirs, test=test)
                named = replace(one, system=labels[key], baseline=labels[other])
                comparisons.append(replace(named, dataset=dataset, split=split, measure=measure))
    return correct(comparisons, correction)


@dataclass(frozen=True)
class Macro:
    """The difference of two rows in the mean over data sets, with its 95 % interval."""

    system: str
    measure: str
    delta: float
    low: float
    high: float


def compare_means(
    records: Sequence[Record],
    labels: Mapping[RowKey, str],
    columns: Sequence[Column],
    baseline: RowKey,
    per_query: PerQuery,
) -> list[Macro]:
    """Each row against the baseline in every average column, where both have all of its data sets."""
    means = []
    for column in (c for c in columns if c.kind == "average"):
        cells = averaged(column, columns)
        theirs = [average_queries(baseline, cell, records, per_query) for cell in cells]
        for key in labels:
            mine = [average_queries(key, cell, records, per_query) for cell in cells]
            both = [(m, t) for m, t in zip(mine, theirs, strict=True) if m is not None and t is not None]
            if key == baseline or len(both) < len(cells) or not cells:
                continue
            interval = stratified_bootstrap([differences(m, t) for m, t in both])
            means.append(Macro(labels[key], column.measure, *interval))
    return means


def average_queries(
    key: RowKey, cell: tuple[str, str, str], records: Sequence[Record], per_query: PerQuery
) -> Mapping[str, float] | None:
    """Per-query values of a row, averaged over its seeds; None if the row lacks the cell."""
    hits = [r for r in records if (r.system, r.variant) == key and r.cell == cell]
    if not hits:
        return None
    columns = []
    for r in hits:
        values = per_query(r)
        if values is None:
            raise DataError(
                f"run {r.run_id}: no per-query values of {r.measure} on {r.dataset} {r.split}",
                hint="Evaluate it again, or drop --baseline",
            )
        columns.append(values)
    if len(columns) == 1:
        return columns[0]
    if any(c.keys() != columns[0].keys() for c in columns):
        raise DataError(f"seeds of {hits[0].system} were evaluated on different queries of {hits[0].dataset}")
    return {q: statistics.fmean(c[q] for c in columns) for q in columns[0]}
