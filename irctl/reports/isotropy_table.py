"""The table of isotropy: every form of some vectors, by each similarity, with what it gains over the untouched ones.

Rows are systems whose isotropy was measured: a front of transforms (`irctl eval --transforms`), and whatever was
evaluated with --isotropy. What was trained is compared with the front of its own model at its own IsoScore.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from irctl.errors import ConfigError
from irctl.reports import front, isotropy
from irctl.reports.columns import FACTS, Column, fact_column
from irctl.reports.isotropy_rows import IsotropyRow, find_systems, judge, similarity_of
from irctl.reports.notes import query_counts
from irctl.reports.records import Record, RowKey, refuse_mixed
from irctl.reports.significance import CORRECTED, Comparison, compare, correct, tell_power
from irctl.reports.table import Cell, Row, Table, TableOptions, fill, fill_difference, fill_measure, fill_p, mark_best

FACT_KEYS = ("iso", "1-cos", "erank/d", "params")


def build(records: Sequence[Record], measure: str, options: TableOptions = TableOptions()) -> Table:
    """The table of one data set and split, rows of a similarity from the least isotropic up, trained ones last.

    options.baseline: tested against; None: the untouched vectors.

    Raises ConfigError where rows are of different judgements, unless options.allow_mixed.
    """
    systems = find_systems(records, measure, options)
    every = [r for s in systems for r in s.records]
    if not options.allow_mixed:  # similarities are a column of their own
        refuse_mixed(measure, [replace(r, similarity="") for r in every])
    base = _find_baseline(systems, options.baseline)
    systems.sort(key=lambda s: (s is not base, s.records[-1].seed is not None, similarity_of(s), s.iso))
    compared = _compare(systems, base, options) if base is not None else []
    by_name = {c.system: c for c in compared}
    columns, left_out = _drop_mixed(
        _choose(systems, measure, options.correction), every, allow_mixed=options.allow_mixed
    )
    rows = [
        Row(s.key, s.label, tuple(_cell(c, s, by_name.get(s.name)) for c in columns), tested_as=s.name) for s in systems
    ]
    return Table(
        title=options.title,
        columns=columns,
        rows=tuple(mark_best(rows, columns)),
        notes=(*_notes(systems, base, compared, columns, every), *left_out, *options.remarks),
        comparisons=tuple(compared),
        command=options.command,
        commit=options.commit,
    )


def _find_baseline(systems: Sequence[IsotropyRow], asked: RowKey | None) -> IsotropyRow | None:
    """The row asked for, else the untouched vectors as their encoder compares them, those of the front first."""
    if asked is not None:
        return next((s for s in systems if s.key == asked), None)
    untouched = [s for s in systems if s.is_untouched]
    own = [s for s in untouched if s.records[-1].similarity not in s.records[-1].system.split(", ")[1:]]
    return next(iter(sorted(own or untouched, key=lambda s: not s.records[-1].part)), None)


def _compare(systems: Sequence[IsotropyRow], base: IsotropyRow, options: TableOptions) -> list[Comparison]:
    dataset, split, measure = base.records[-1].cell
    family = [
        replace(
            compare(s.values, base.values, test=options.test),
            system=s.name,
            baseline=base.name,
            dataset=dataset,
            split=split,
            measure=measure,
        )
        for s in systems
        if s.key != base.key and s.values.keys() == base.values.keys()
    ]
    return correct(family, options.correction)


def _choose(systems: Sequence[IsotropyRow], measure: str, correction: str) -> tuple[Column, ...]:
    cell = systems[0].records[-1].cell if systems else ("", "", measure)
    known = {name for s in systems for r in s.records for name in r.facts}
    facts = [replace(FACTS[k][0], better="") if k in FACTS else fact_column(k, k, decimals=3) for k in FACT_KEYS]
    return (
        Column(key="similarity", header="Similarity", kind="text"),
        Column(
            key=measure,
            header=measure,
            kind="measure",
            better="high",
            scale=100.0,
            dataset=cell[0],
            split=cell[1],
            measure=measure,
        ),
        Column(key="delta", header="Difference [95 %]", kind="text", scale=100.0),
        Column(key="p", header="p", kind="text"),
        Column(key="p_adj", header=f"p, {CORRECTED[correction]}", kind="text"),
        *(replace(c, decimals=3) if c.key == "iso" else c for c in facts if c.key in known),
    )


def _drop_mixed(
    columns: Sequence[Column], every: Sequence[Record], *, allow_mixed: bool
) -> tuple[tuple[Column, ...], list[str]]:
    """(the columns without measures that depend on N where N differs, what is said of those)."""
    kept, said = [], []
    for column in columns:
        try:
            isotropy.refuse_mixed(column.key, [] if allow_mixed else every)
        except ConfigError as e:
            said.append(f"Left out: {e.message}.")
        else:
            kept.append(column)
    return tuple(kept), said


def _cell(column: Column, system: IsotropyRow, compared: Comparison | None) -> Cell:
    runs = tuple(dict.fromkeys(r.run_id for r in system.records))
    if column.kind == "measure":
        return fill_measure(column, system.records)
    if column.kind == "fact":
        return fill(column, [r.facts[column.key] for r in system.records if column.key in r.facts], runs)
    if column.key == "similarity":
        return Cell(text=system.records[-1].similarity, runs=runs)
    if compared is None:
        return Cell(runs=runs)
    if column.key == "delta":
        return fill_difference(compared, runs)
    return fill_p(compared.p_raw if column.key == "p" else compared.p_adj, runs)


def _notes(
    systems: Sequence[IsotropyRow],
    base: IsotropyRow | None,
    compared: Sequence[Comparison],
    columns: Sequence[Column],
    every: Sequence[Record],
) -> list[str]:
    notes = []
    if every:
        notes.append(f"Data: {query_counts.tell(every[0].cell[:2], every)}. Measures ×100.")
    if base is not None and compared:
        rule = f"paired {'t-test' if compared[0].test == 't' else 'randomisation test'} over queries"
        corrected = f"{CORRECTED[compared[0].correction]} over a family of {len(compared)}"
        notes.append(f"Difference from {base.name}: {rule}, {corrected}.")
        untold = [s.label for s in systems if s.key != base.key and s.values.keys() != base.values.keys()]
        if untold:
            notes.append(f"Not tested, for they were evaluated on other queries: {', '.join(untold)}.")
        notes += tell_power(compared)
    notes += isotropy.footnotes([c.key for c in columns], every)
    if seeds := sorted({len(s.records) for s in systems if s.records[-1].seed is not None}):
        notes.append(f"Training seeds a system: {', '.join(map(str, seeds))}.")
    return notes + front.write(judge(systems))
