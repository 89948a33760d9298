"""The table model: rows of systems, columns of numbers, best and second marked. All that renderers read."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from irctl.reports import isotropy
from irctl.reports.columns import FACTS, Column, averaged
from irctl.reports.comparisons import Macro, PerQuery, compare_means, compare_rows
from irctl.reports.equal_bytes import GAP, Gap, compare_gaps
from irctl.reports.notes import footnotes, shares
from irctl.reports.notes.footnotes import SEEDS_FOR_SD
from irctl.reports.records import (
    Record,
    RowKey,
    Wholes,
    compute_kept,
    index_wholes,
    keep_newest,
    label_rows,
    refuse_mixed,
)
from irctl.reports.reference import Reference
from irctl.reports.significance import Comparison, letters

MISSING = "--"


@dataclass(frozen=True)
class Cell:
    """value: unrounded, None if missing. mark: best, second or empty. sign: dagger or letters. runs: its origin.

    records: the values that it is the mean of, where these are of queries. over: other evaluations that it is
    computed with.
    """

    value: float | None = None
    text: str = MISSING
    mark: str = ""
    sign: str = ""
    runs: tuple[str, ...] = ()
    sd: float | None = None
    records: tuple[Record, ...] = ()
    over: tuple[Reference, ...] = ()

    @property
    def queries(self) -> int | None:
        """How many queries it is the mean over; the fewest where its seeds are of several numbers."""
        return min((r.n_queries for r in self.records if r.n_queries), default=None)


@dataclass(frozen=True)
class Row:
    key: RowKey
    label: str
    cells: tuple[Cell, ...]
    letter: str = ""
    tested_as: str = ""  # what comparisons call it, where that is not its label

    def is_of(self, name: str) -> bool:
        """Whether a comparison of this name is the row's."""
        return name == (self.tested_as or self.label)


@dataclass(frozen=True)
class Table:
    """kind: which of the tables of a report it is."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    macro: tuple[Macro, ...] = ()
    gaps: tuple[Gap, ...] = ()
    command: str = ""
    commit: str = ""
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """baseline: the row that the others are tested against; None: no tests.

    marks: daggers against the baseline, or letters for all pairs. remarks: footnotes of the caller's. own_similarity:
    each row is searched by what its model compares by, which may differ between rows, and is said.
    """

    title: str = ""
    baseline: RowKey | None = None
    per_query: PerQuery = lambda _: None
    test: str = "t"
    correction: str = "holm"
    marks: str = "daggers"
    allow_mixed: bool = False
    own_similarity: bool = False
    command: str = ""
    commit: str = ""
    remarks: tuple[str, ...] = ()


def build(records: Sequence[Record], columns: Sequence[Column], options: TableOptions = TableOptions()) -> Table:
    """The table of these records. Raises ConfigError for mixed columns unless options.allow_mixed."""
    shown, baseline, marks = keep_newest(records), options.baseline, options.marks
    hidden = [cell for c in columns if c.kind == "average" for cell in averaged(c, columns)]
    named = {cell: " ".join(cell) for cell in hidden} | {c.cell: c.key for c in columns if c.kind == "measure"}
    alike = [replace(r, similarity="") for r in shown] if options.own_similarity else shown
    for cell, name in named.items():
        if not options.allow_mixed:
            refuse_mixed(name, [r for r in alike if r.cell == cell])
    if not options.allow_mixed:
        for column in columns:
            isotropy.refuse_mixed(column.key, shown)
            if column.kind == "fact":
                refuse_mixed(column.key, shown, column.key)
    labels = label_rows(shown)
    base = labels[baseline] if baseline is not None else ""
    of_row: dict[RowKey, list[Record]] = {}
    for r in shown:
        of_row.setdefault((r.system, r.variant), []).append(r)
    keys = sorted(labels, key=lambda key: (key != baseline, *_order(of_row[key])))
    wholes = index_wholes(shown)
    body = [Row(key, labels[key], tuple(_cell(c, of_row[key], wholes, columns) for c in columns)) for key in keys]
    gap = next((c for c in columns if c.key == GAP), None)
    gaps = compare_gaps(shown, gap.measure, options.per_query) if gap else []
    body = mark_best(_add_references(body, columns, gaps), _better(columns, gaps))
    compared: list[Comparison] = []
    macro = compare_means(shown, labels, columns, baseline, options.per_query) if baseline is not None else []
    if baseline is not None or marks == "letters":
        against = baseline if marks != "letters" else None
        compared = compare_rows(shown, labels, columns, against, options.per_query, options.test, options.correction)
        body = _sign(body, columns, compared, marks)
    notes = footnotes.write_footnotes(alike, columns, base, compared, options.correction, marks, gaps)
    notes += footnotes.tell_similarities(shown, labels) if options.own_similarity else []
    return Table(
        title=options.title,
        columns=tuple(columns),
        rows=tuple(body),
        notes=(*notes, *footnotes.write_macro(macro, base), *options.remarks),
        comparisons=tuple(compared),
        macro=tuple(macro),
        gaps=tuple(gaps),
        command=options.command,
        commit=options.commit,
    )


def _add_references(body: Sequence[Row], columns: Sequence[Column], gaps: Sequence[Gap]) -> list[Row]:
    """The rows with the evaluations behind their gaps."""
    over = {g.system: g.compared for g in gaps}
    return [
        replace(
            row,
            cells=tuple(
                replace(cell, over=over.get(row.label, ())) if column.key == GAP else cell
                for column, cell in zip(columns, row.cells, strict=True)
            ),
        )
        for row in body
    ]


def _better(columns: Sequence[Column], gaps: Sequence[Gap]) -> list[Column]:
    """The columns as they are marked: no gap is the best where one may be anything."""
    is_open = bool(shares.list_unbounded(gaps))
    return [replace(c, better="") if is_open and c.key == GAP else c for c in columns]


def _order(mine: Sequence[Record]) -> tuple[float, str]:
    """By bytes a vector from many to few (no vectors first), then by age."""
    size = next((r.bytes_per_vector for r in mine if r.bytes_per_vector is not None), None)
    return -size if size is not None else float("-inf"), min(r.created_at for r in mine)


def _cell(column: Column, mine: Sequence[Record], wholes: Wholes, columns: Sequence[Column]) -> Cell:
    if column.kind == "average":
        return _average(column, mine, columns)
    if column.kind == "fact":
        return _fact(column, mine, wholes)
    return fill_measure(column, [r for r in mine if r.cell == column.cell])


def fill_measure(column: Column, records: Sequence[Record]) -> Cell:
    """The mean over the seeds of one system, with its deviation."""
    runs = tuple(dict.fromkeys(r.run_id for r in records))
    return replace(fill(column, [r.value for r in records], runs, seeds=True), records=tuple(records))


def fill(column: Column, values: Sequence[float], runs: tuple[str, ...], *, seeds: bool = False) -> Cell:
    if not values:
        return Cell()
    mean = statistics.fmean(values)
    sd = statistics.stdev(values) if seeds and len(values) >= SEEDS_FOR_SD else None
    text = column.format(mean) + (f" ± {column.format(sd)}" if sd is not None else "")
    return Cell(mean, text, runs=runs, sd=sd)


def fill_difference(c: Comparison, runs: tuple[str, ...]) -> Cell:
    """A difference with its interval, of which the difference is the value."""
    return Cell(c.delta, f"{100 * c.delta:+.1f} [{100 * c.ci_low:+.1f}, {100 * c.ci_high:+.1f}]", runs=runs)


def fill_p(p: float | None, runs: tuple[str, ...]) -> Cell:
    return Cell(p, "undefined" if p is None else f"{p:.2g}", runs=runs)


def _fact(column: Column, mine: Sequence[Record], wholes: Wholes) -> Cell:
    runs = tuple(dict.fromkeys(r.run_id for r in mine))
    if column.key == "seeds":
        count = len({r.seeds for r in mine if any(s is not None for s in r.seeds)})
        return fill(column, [float(count)] if count else [], runs)
    if column.key == "kept":
        kept = [compute_kept(r, wholes) for r in mine if r.measure == column.measure]
        filled = fill(column, [s for s in kept if s is not None], runs)
        return replace(filled, over=shares.find_references(column, mine, wholes))
    read = FACTS[column.key][1] if column.key in FACTS else lambda r, _: r.facts.get(column.key)
    known = [r for r in mine if read(r, wholes) is not None]
    by_seed = {
        (r.seeds, r.dataset if isotropy.is_column(column.key) else ""): value  # of others a system has one everywhere
        for r in known
        if (value := read(r, wholes)) is not None
    }
    measured = tuple(dict.fromkeys(r.fact_runs.get(column.key, r.run_id) for r in known))
    filled = fill(column, list(by_seed.values()), measured)
    return replace(filled, over=shares.find_references(column, known, wholes))


def _average(column: Column, mine: Sequence[Record], columns: Sequence[Column]) -> Cell:
    """The mean over the column's data sets, only if every one of them is there."""
    wanted = averaged(column, columns)
    means = {cell: [r.value for r in mine if r.cell == cell] for cell in wanted}
    if not wanted or not all(means.values()):
        return Cell()
    behind = tuple(r for r in mine if r.cell in means)
    runs = tuple(dict.fromkeys(r.run_id for r in behind))
    cell = fill(column, [statistics.fmean(statistics.fmean(v) for v in means.values())], runs)
    return replace(cell, records=behind)


def mark_best(body: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """Best and second best of each column, on the rounded value, with all ties."""
    marked = [list(row.cells) for row in body]
    for i, column in enumerate(columns):
        values = {n: row.cells[i].value for n, row in enumerate(body)}
        rounded = {n: float(column.format(v).replace(",", "")) for n, v in values.items() if v is not None}
        if len(rounded) < 2 or not column.better:
            continue
        ranked = sorted(set(rounded.values()), reverse=column.better == "high")
        for n, value in rounded.items():
            mark = "best" if value == ranked[0] else "second" if value == ranked[1] else ""
            marked[n][i] = replace(marked[n][i], mark=mark)
    return [replace(row, cells=tuple(cells)) for row, cells in zip(body, marked, strict=True)]


def _sign(body: Sequence[Row], columns: Sequence[Column], compared: Sequence[Comparison], marks: str) -> list[Row]:
    """Superscripts: daggers for a difference from the baseline, letters for the rows beaten."""
    names = dict(zip((row.label for row in body), letters(len(body)), strict=True)) if marks == "letters" else {}
    of_cell: dict[tuple[str, str, str], list[Comparison]] = {}
    for c in compared:
        of_cell.setdefault((c.dataset, c.split, c.measure), []).append(c)
    by_system: dict[tuple[str, tuple[str, str, str]], str] = {}
    for cell, mine in of_cell.items():
        for c in mine:
            by_system[c.system, cell] = by_system.get((c.system, cell), "") + c.daggers
    signed = []
    for row in body:
        cells = list(row.cells)
        for i, column in enumerate(columns):
            if column.kind != "measure":
                continue
            mine = of_cell.get(column.cell, [])
            if marks == "letters":
                beaten = [c.baseline for c in mine if c.system == row.label and c.delta > 0 and c.daggers]
                beaten += [c.system for c in mine if c.baseline == row.label and c.delta < 0 and c.daggers]
                ordered = sorted((names[label] for label in beaten), key=lambda x: (len(x), x))
                sign = (", " if len(names) > 26 else "").join(ordered)
            else:
                sign = by_system.get((row.label, column.cell), "")
            cells[i] = replace(cells[i], sign=sign)
        signed.append(replace(row, cells=tuple(cells), letter=names.get(row.label, "")))
    return signed
