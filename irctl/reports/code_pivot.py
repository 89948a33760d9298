"""Codes by what the vectors went through: a row a code, a column a transform or model, each against the untransformed.

A column holds vectors of one identity behind one transform (`Record.base`, `.transform`); a row the code that was made
of each (`Record.code`). Every other column is tested against the first model's untransformed one, transforms of another
model against that one's own, by the same code, over the same queries, each in the mean of its starts. The first model
is one that nobody trained, where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from irctl.errors import DataError
from irctl.reports.columns import FACTS, Column
from irctl.reports.comparisons import average_queries
from irctl.reports.notes import footnotes
from irctl.reports.records import Record, keep_newest, refuse_mixed
from irctl.reports.significance import Comparison, compare, correct
from irctl.reports.table import Cell, Row, Table, TableOptions, fill, fill_measure, mark_best

UNCOMPRESSED, UNTRANSFORMED = "float", "none"

Place = tuple[str, str]
"""(base, transform) of a column."""


@dataclass(frozen=True)
class Pivot:
    """Records in their places. headers: of the columns. cells: (code, bytes) -> column -> one record a start.

    start: of the code's training, or the seed of the encoder's where the code draws nothing.
    """

    headers: Mapping[Place, str]
    cells: Mapping[tuple[str, float | None], Mapping[Place, Sequence[Record]]]

    def against(self, place: Place) -> Place | None:
        """The column that one is tested against; None for the first."""
        own, first = (place[0], ""), next(iter(self.headers))
        known = own if place != own and own in self.headers else first
        return None if known == place else known


def arrange(records: Sequence[Record], measure: str) -> Pivot:
    """The newest records of a measure, of one data set and split. Raises DataError where none has vectors."""
    shown = [r for r in keep_newest(records) if r.measure == measure and r.base]
    if not shown:
        raise DataError(f"no evaluation of vectors or codes with {measure}", hint="irctl eval --index BUNDLE adds one")
    # untransformed first; models in the order in which they came, those that nobody trained before trained ones
    untrained = {r.base for r in shown if r.seed is None and not r.loss}
    bases = sorted(dict.fromkeys(r.base for r in shown), key=lambda base: base not in untrained)
    places = sorted(dict.fromkeys((r.base, r.transform) for r in shown), key=lambda p: (bases.index(p[0]), p[1] != ""))
    names = {r.base: r.vectors for r in shown}
    headers = {}
    for base, transform in places:
        headers[base, transform] = transform or UNTRANSFORMED
        if len(bases) > 1:
            headers[base, transform] = f"{names[base]}, {transform}" if transform else names[base]
    if len(set(headers.values())) < len(headers):
        headers = {p: f"{name} [{p[0][:8]}]" for p, name in headers.items()}
    cells: dict[tuple[str, float | None], dict[Place, list[Record]]] = {}
    for r in sorted(shown, key=lambda r: (-(r.bytes_per_vector or 0), r.created_at, r.run_id)):
        cells.setdefault((r.code, r.bytes_per_vector), {}).setdefault((r.base, r.transform), []).append(r)
    return Pivot(headers, cells)


def start_of(record: Record) -> int | None:
    """Which start of the code's training it is; of uncompressed vectors which seed of the encoder's."""
    return record.seed if record.code_seed is None else record.code_seed


def build(records: Sequence[Record], measure: str, options: TableOptions = TableOptions()) -> Table:
    """The table. Raises ConfigError for mixed columns as other tables do."""
    pivot = arrange(records, measure)
    flat = [r for of_code in pivot.cells.values() for mine in of_code.values() for r in mine]
    dataset, split, _ = flat[0].cell
    headers = list(pivot.headers.values())
    columns = [_column(header, dataset, split, measure) for header in headers]
    if not options.allow_mixed:
        refuse_mixed(measure, flat)
    labels = _label_codes(pivot)
    compared = _compare(pivot, labels, options)
    daggers = {(c.system, c.column): c.daggers for c in compared}
    size = replace(FACTS["bytes"][0], better="")  # rows are ordered by it
    body = []
    for key, of_code in pivot.cells.items():
        cells = [fill(size, [] if key[1] is None else [key[1]], ())]
        for place, column in zip(pivot.headers, columns, strict=True):
            mine = of_code.get(place, ())
            cell = fill_measure(column, mine) if mine else Cell()
            cells.append(replace(cell, sign=daggers.get((labels[key], column.key), "")))
        body.append(Row((key[0], str(key[1])), labels[key], tuple(cells)))
    every = [size, *columns]
    notes = footnotes.write_footnotes(
        flat, columns, _tell_references(compared), compared, options.correction, options.marks
    )
    return Table(
        title=options.title,
        columns=tuple(every),
        rows=tuple(mark_best(body, every)),
        notes=(*notes, *_starts(pivot, labels), *options.remarks),
        comparisons=tuple(compared),
        command=options.command,
        commit=options.commit,
    )


def _column(header: str, dataset: str, split: str, measure: str) -> Column:
    return Column(
        key=header,
        header=header,
        kind="measure",
        better="high",
        scale=100.0,
        dataset=dataset,
        split=split,
        measure=measure,
    )


def _label_codes(pivot: Pivot) -> dict[tuple[str, float | None], str]:
    """What the rows are called; codes of one name with the beginning of their identity."""
    names = {key: next(iter(of.values()))[0].code_label or UNCOMPRESSED for key, of in pivot.cells.items()}
    known = list(names.values())
    return {key: name if known.count(name) == 1 else f"{name} [{key[0][:8]}]" for key, name in names.items()}


def _compare(pivot: Pivot, labels: Mapping[tuple[str, float | None], str], options: TableOptions) -> list[Comparison]:
    """Every code in every column that has one to be tested against: one family."""
    family = []
    for key, of_code in pivot.cells.items():
        for place, mine in of_code.items():
            other = pivot.against(place)
            if other is None or other not in of_code:
                continue
            values, theirs = (_average(of, options) for of in (mine, of_code[other]))
            one = compare(values, theirs, test=options.test)
            dataset, split, measure = mine[0].cell
            named = replace(one, system=labels[key], baseline=pivot.headers[other], column=pivot.headers[place])
            family.append(replace(named, dataset=dataset, split=split, measure=measure))
    return correct(family, options.correction)


def _tell_references(compared: Sequence[Comparison]) -> str:
    """What the cells of each column are tested against: the first column's, or its own model's untransformed one."""
    columns: dict[str, dict[str, None]] = {}
    for c in compared:
        columns.setdefault(c.baseline, {})[c.column] = None
    if len(columns) < 2:
        return f"the same code in column {next(iter(columns), '')}"
    return "the same code " + ", ".join(f"in column {base} (in {'; '.join(of)})" for base, of in columns.items())


def _average(mine: Sequence[Record], options: TableOptions) -> Mapping[str, float]:
    renamed = [replace(r, system="", variant="") for r in mine]
    values = average_queries(("", ""), mine[0].cell, renamed, options.per_query)
    if values is None:
        raise DataError(f"run {mine[0].run_id}: no per-query values of {mine[0].measure}", hint="Evaluate it again")
    return values


def _starts(pivot: Pivot, labels: Mapping[tuple[str, float | None], str]) -> list[str]:
    """A note a column: the difference of each start from the untransformed one of the same start."""
    notes = []
    for place, header in pivot.headers.items():
        if (other := pivot.against(place)) is None:
            continue
        told = []
        for key, of_code in pivot.cells.items():
            mine, theirs = (by_start(of_code.get(p, ())) for p in (place, other))
            paired = [mine[s] - theirs[s] for s in mine if s in theirs]
            if len(paired) > 1:
                shown = ", ".join(f"{100 * d:+.1f}" for d in paired)
                told.append(f"{labels[key]} {shown} (up in {sum(d > 0 for d in paired)} of {len(paired)})")
        if told:
            notes.append(f"{header} minus {pivot.headers[other]}, start by start: {'; '.join(told)}.")
    return notes


def by_start(mine: Sequence[Record]) -> dict[int | None, float]:
    """The value of each start, the mean where it has several."""
    values: dict[int | None, list[float]] = {}
    for r in mine:
        values.setdefault(start_of(r), []).append(r.value)
    return {start: fmean(of) for start, of in values.items()}
