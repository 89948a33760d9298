"""The table of answers by contexts: each way to give a context, at each ratio, with what it keeps and what it costs.

Compressed contexts are tested against truncation to as many tokens, question by question, corrected over the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from irctl.reports.columns import Column, fact_column
from irctl.reports.comparisons import average_queries
from irctl.reports.notes import query_counts
from irctl.reports.records import Record, RowKey, keep_newest, label_rows, refuse_mixed
from irctl.reports.significance import CORRECTED, Comparison, compare, correct, tell_power
from irctl.reports.table import Cell, Row, Table, TableOptions, fill, fill_difference, fill_measure, fill_p, mark_best

METHOD = "answers"
"""The method of the records that are of it."""
CONTEXT = "context"
"""The trait that says how a context was made; the words below are its values."""
WHOLE, NONE, COMPRESSED, TRUNCATED, PRUNED, UNTRAINED = (
    "whole context", "no context", "compressed", "truncated", "pruned", "untrained encoder",
)  # fmt: skip
BY_PASSAGE, SHUFFLED, ZEROED = "by passage", "of other questions", "rows of zeros"
TUNED = "tuned uncompressed LM"
"""A language model tuned on the task, over whole contexts: what adaptation gives without compression."""
ORDER = (WHOLE, TUNED, NONE, COMPRESSED, BY_PASSAGE, TRUNCATED, PRUNED, UNTRAINED, SHUFFLED, ZEROED)
TESTED = (COMPRESSED, BY_PASSAGE)


@dataclass(frozen=True)
class AnsweredRow:
    """One row: its records of every measure, one a seed."""

    key: RowKey
    label: str
    records: tuple[Record, ...]

    @property
    def kind(self) -> str:
        return self.records[-1].traits[CONTEXT]

    @property
    def ratio(self) -> int:
        """0 for a context that has none."""
        return int(self.records[-1].facts.get("ratio", 0))

    @property
    def model(self) -> str:
        """The language model that read the contexts."""
        return self.records[-1].model

    def of(self, measure: str) -> list[Record]:
        return [r for r in self.records if r.measure == measure]


def find_rows(records: Sequence[Record]) -> list[AnsweredRow]:
    """By ratio, in each the compressed contexts first."""
    shown = keep_newest(r for r in records if r.method == METHOD)
    rows = [
        AnsweredRow(key, label, tuple(r for r in shown if (r.system, r.variant) == key))
        for key, label in label_rows(shown).items()
    ]
    return sorted(rows, key=lambda row: (row.ratio, ORDER.index(row.kind), row.label))


def build(records: Sequence[Record], measure: str, options: TableOptions = TableOptions()) -> Table:
    """The table of one data set and split. measure: the one that is tested; all that were taken are shown.

    options.baseline: tested against in place of truncation.
    Raises ConfigError where rows are of different questions, unless options.allow_mixed.
    """
    rows = find_rows(records)
    every = [r for row in rows for r in row.records]
    measures = list(dict.fromkeys(r.measure for r in every))
    if not options.allow_mixed:
        for name in measures:
            refuse_mixed(name, [r for r in every if r.measure == name])
    compared = _compare(rows, measure, options)
    by_name = {c.system: c for c in compared}
    columns = _columns(every, measures, options.correction)
    body = [Row(row.key, row.label, tuple(_cell(c, row, by_name.get(row.label)) for c in columns)) for row in rows]
    has_tuned = any(row.kind == TUNED for row in rows)
    if rows and not has_tuned:
        after = sum(row.kind == WHOLE for row in rows)
        body.insert(after, Row((TUNED, TUNED), TUNED, tuple(Cell() for _ in columns)))
    return Table(
        title=options.title,
        columns=columns,
        rows=tuple(mark_best(body, columns)),
        notes=(*_notes(rows, compared, every), *options.remarks),
        comparisons=tuple(compared),
        command=options.command,
        commit=options.commit,
    )


def _compare(rows: Sequence[AnsweredRow], measure: str, options: TableOptions) -> list[Comparison]:
    family = []
    for row in rows:
        other = _baseline(row, rows, options.baseline)
        if other is None or not row.of(measure) or not other.of(measure):
            continue
        cell = row.of(measure)[-1].cell
        mine, theirs = (average_queries(r.key, cell, r.of(measure), options.per_query) for r in (row, other))
        if mine and theirs and mine.keys() == theirs.keys():
            one = replace(compare(mine, theirs, test=options.test), system=row.label, baseline=other.label)
            family.append(replace(one, dataset=cell[0], split=cell[1], measure=measure))
    return correct(family, options.correction)


def _baseline(row: AnsweredRow, rows: Sequence[AnsweredRow], asked: RowKey | None) -> AnsweredRow | None:
    """What a row is tested against: the one asked for, else truncation at its ratio, read by the same language model,
    where it took as many tokens.
    """
    if asked is not None:
        return next((r for r in rows if r.key == asked and r.key != row.key), None)
    if row.kind not in TESTED:
        return None
    tokens = row.records[-1].facts["tokens"]
    alike = [r for r in rows if (r.kind, r.ratio, r.model) == (TRUNCATED, row.ratio, row.model)]
    return next((r for r in alike if abs(r.records[-1].facts["tokens"] - tokens) <= 1), None)


def _columns(every: Sequence[Record], measures: Sequence[str], correction: str) -> tuple[Column, ...]:
    known = {name for r in every for name in r.facts}
    columns = [fact_column("tokens", "Tokens", decimals=1)]
    for name in measures:
        columns.append(Column(key=name, header=name, kind="measure", better="high", scale=100.0, measure=name))
        columns.append(fact_column(f"kept {name}", f"{name} kept %", decimals=1, scale=100.0))
    columns += [Column(key="delta", header="Against truncation [95 %]", kind="text", scale=100.0)]
    columns += [Column(key="p_adj", header=f"p, {CORRECTED[correction]}", kind="text")]
    costs = [
        fact_column("flops", "Prefill, counted", decimals=3),
        fact_column("law", "By the law", decimals=3),
        fact_column("encoded", "Chunks encoded"),
    ]
    return (*columns, *(c for c in costs if c.key in known))


def _cell(column: Column, row: AnsweredRow, compared: Comparison | None) -> Cell:
    runs = tuple(dict.fromkeys(r.run_id for r in row.records))
    if column.kind == "measure":
        return fill_measure(column, row.of(column.measure))
    if column.kind == "fact":
        by_seed = {r.seeds: r.facts[column.key] for r in row.records if column.key in r.facts}
        return fill(column, list(by_seed.values()), runs)
    if compared is None:
        return Cell(runs=runs)
    if column.key == "delta":
        return fill_difference(compared, runs)
    return fill_p(compared.p_adj, runs)


def _notes(rows: Sequence[AnsweredRow], compared: Sequence[Comparison], every: Sequence[Record]) -> list[str]:
    if not every:
        return []
    notes = [f"Data: {query_counts.tell(every[0].cell[:2], every, 'question')}. Measures ×100."]
    ends = {row.model: row.records[-1].facts for row in reversed(rows) if row.kind != TUNED}
    told = [
        f"{f'{model} ' * (len(ends) > 1)}{name} closed {100 * facts[f'closed {name}']:.1f}, "
        f"open {100 * facts[f'open {name}']:.1f}"
        for model, facts in sorted(ends.items())
        for name in dict.fromkeys(r.measure for r in every)
        if f"closed {name}" in facts
    ]
    notes.append(f"Kept: (x - closed) / (open - closed), by no and by the whole context: {'; '.join(told)}.")
    notes += _selections(rows)
    if not any(row.kind == TUNED for row in rows):
        notes.append(f"{TUNED}: none was named (acerag.tuned_lm); compressed rows may gain by adaptation to the task.")
    if compared:
        rule = f"paired {'t-test' if compared[0].test == 't' else 'randomisation test'} over questions"
        against = {c.baseline for c in compared}
        what = next(iter(against)) if len(against) == 1 else "truncation to as many tokens"
        notes.append(
            f"Difference from {what}: {rule}, {CORRECTED[compared[0].correction]} over a family of {len(compared)}."
        )
        notes += tell_power(compared)
    if any("law" in r.facts for r in every):
        notes.append(
            "Prefill: operations against the whole context's, attention counted; the law (k/L S + S/r + P) / (S + P) "
            "leaves attention over pairs of tokens out."
        )
    seeds = {len({r.seeds for r in row.records}) for row in rows if row.kind in TESTED}
    if any(r.seed is not None for r in every):
        notes.append(f"Training seeds a system: {', '.join(map(str, sorted(seeds)))}.")
    return notes


def _selections(rows: Sequence[AnsweredRow]) -> list[str]:
    """How compressed rows were kept, and how in training where it was otherwise."""
    told: dict[str, None] = {}
    for row in rows:
        had = row.records[-1].traits
        if row.kind not in TESTED or not (selection := had.get(".selection")):
            continue
        scored = f" by {had['acerag.scoring']}" if "acerag.scoring" in had else ""
        trained = f", in training by {had['.trained_selection']}" if ".trained_selection" in had else ""
        told[f"{selection}{scored}{trained}"] = None
    return [f"Compressed contexts keep rows by {'; '.join(told)}."] if told else []


def mean_tokens(row: AnsweredRow) -> float:
    """Tokens of a row's contexts, over its seeds."""
    return fmean({r.seeds: r.facts["tokens"] for r in row.records}.values())
