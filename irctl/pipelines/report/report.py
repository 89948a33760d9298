"""`irctl report`: records from the evaluations of the ledger, tables and figures from the records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from irctl import plugins
from irctl.data.collections.split_names import ALL, POOL
from irctl.errors import ConfigError, DataError
from irctl.metrics.ranking.parsing import parse, parse_one, split_list
from irctl.pipelines.report import bundle_probes, remarks, unjudged
from irctl.pipelines.report.records import gather, open_best, open_per_query
from irctl.reports import answers_table, code_pivot, grouping, isotropy_table, neighbour_recall, same_names
from irctl.reports.columns import (
    ACROSS,
    ANSWERS,
    CODE_PIVOT,
    ISOTROPY,
    PRESETS,
    choose,
    headline,
    is_across,
)
from irctl.reports.comparisons import PerQuery
from irctl.reports.equal_bytes import GAP, OVERLAP, Best, add_gap, add_overlap
from irctl.reports.notes.footnotes import GROUPS
from irctl.reports.records import Record, RowKey, find_row, find_rows, keep_newest, label_rows
from irctl.reports.significance import CORRECTIONS, TESTS
from irctl.reports.table import Table, TableOptions, build

MARKS = ("daggers", "letters")
COMPRESSION = "compression"
ALONE = {
    CODE_PIVOT: ("codes by transform", code_pivot.build),
    ISOTROPY: ("isotropy", isotropy_table.build),
    ANSWERS: ("answers", answers_table.build),
}
"""Tables with rows and columns of their own: (words of the title, what builds one)."""

MAKES = {
    CODE_PIVOT: "irctl eval --index BUNDLE makes some",
    ISOTROPY: "irctl eval --index latest --transforms front makes some",
    ANSWERS: "irctl eval --task rag-qa --model RUN --data FILE makes some",
}
"""Tables of ALONE -> what there has to be for one."""

UNFIT = {
    CODE_PIVOT: (("baseline", "columns", "group_by", "marks"), "it tests each code against itself untransformed"),
    ISOTROPY: (("columns", "group_by", "marks"), "it has columns of its own, and p in one of them"),
}
"""Tables -> (what has no meaning in them, why)."""

OF_TABLES = ("baseline", "columns", "group_by", "marks", "test", "correction", "mixed")
"""What has a meaning in tables alone, not in figures or in the checklist."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a user asks of a report. Empty means the usual."""

    table: str = "main"
    baseline: str = ""
    runs: Sequence[str] = ()
    datasets: str = ""
    split: str = ""
    measures: str = ""
    columns: str = ""
    marks: str = "daggers"
    test: str = "t"
    correction: str = "holm"
    mixed: bool = False
    group_by: str = ""
    command: str = ""

    def check(self) -> None:
        """Raise ConfigError for a word that is none of the legal ones, or has no meaning in the table."""
        legal = {"table": tuple(PRESETS), "marks": MARKS, "test": TESTS, "correction": CORRECTIONS}
        for name in ("columns", "measures", "datasets"):
            if (text := getattr(self, name)) and not text.replace(",", " ").split():
                raise ConfigError(f"{option_of(name)} {text!r}: expected names, found none", hint="Drop it")
        legal["group_by"] = ("", *grouping.LEGAL)
        for name, words in legal.items():
            if (value := getattr(self, name)) not in words:
                known = [w for w in words if w]
                message = f"{option_of(name)} {value}: expected {', '.join(known)}"
                raise ConfigError(message, hint=plugins.near(value, known))
        unfit, why = UNFIT.get(self.table, ((), ""))
        self.refuse(unfit, f"--table {self.table}: {why}")
        if self.table in ALONE and len(named := read_measures(self)) > 1:
            raise ConfigError(
                f"--measures {self.measures}: expected one with --table {self.table}, found {len(named)}",
                hint=f"--measures {named[0]}",
            )

    def refuse(self, unread: Sequence[str], where: str) -> None:
        """Raise ConfigError for one of these fields that is set: nothing there reads it."""
        for name in unread:
            if getattr(self, name) != getattr(Wanted(), name):
                raise ConfigError(f"{option_of(name)}: not with {where}", hint="Drop it")


def option_of(field: str) -> str:
    """How a user names a field of Wanted."""
    return f"--{'dataset' if field == 'datasets' else field.replace('_', '-')}"


def make_tables(wanted: Wanted) -> list[Table]:
    """The tables asked for: one a data set and split, or one with a column a data set.

    Where nothing was evaluated, and nothing in particular asked for: what was compressed, and what was trained.
    """
    wanted.check()
    if wanted == Wanted(command=wanted.command) and (unjudged_tables := _build_unjudged(wanted)):
        return unjudged_tables
    left_out: list[str] = []
    records = gather(wanted.runs, probes=wanted.table == COMPRESSION, left_out=left_out)
    built = build_tables(records, wanted, open_per_query(), open_best(left_out))
    return [replace(t, kind=wanted.table, notes=(*t.notes, *left_out)) for t in built]


def _build_unjudged(wanted: Wanted) -> list[Table]:
    """Compressions and trainings of a ledger without evaluations, each with what takes it further; else empty."""
    from irctl.ledger import query

    if query.newest("eval") is not None:
        return []
    compressions = query.list_runs(command="compress", status="completed")
    trainings = query.list_runs(command="train", status="completed")
    shown = []
    if compressions:
        of_codes = replace(wanted, table=COMPRESSION)
        for table in build_tables(bundle_probes.read_probes(compressions), of_codes, lambda _: None):
            here = {run for row in table.rows for cell in row.cells for run in cell.runs}
            further = unjudged.list_next_steps([r for r in compressions if r.id in here])
            shown.append(replace(table, notes=(*table.notes, *further)))
    if trainings:
        shown.append(unjudged.list_trainings(trainings, wanted.command))
    return shown


def build_tables(
    records: Sequence[Record], wanted: Wanted, per_query: PerQuery, best: Best = lambda _: None
) -> list[Table]:
    """The same from records: pure but for per_query and best."""
    every, records = records, narrow(records, wanted)
    remark = (
        *same_names.describe(records),
        *remarks.tell_left_out(every, records),
        *remarks.tell_replaced(records, wanted.runs),
    )
    shown = read_measures(wanted)
    columns = [_column_name(c) for c in split_list(wanted.columns)]
    if wanted.table == COMPRESSION:
        bases = {r.base for r in records if r.compression}
        records = neighbour_recall.fold_recall([r for r in records if r.base in bases])
        if not records:
            raise DataError("no compressed vectors to report", hint="irctl compress makes some")
    elif not any(map(neighbour_recall.is_recall, (*shown, *columns))):
        records = (
            neighbour_recall.keep_judged(records) or records
        )  # recall of neighbours is shown where it is all there is
    records = grouping.group(records, wanted.group_by, allow_mixed=wanted.mixed)
    groups = [list(records)]
    if not is_across(wanted.table, columns, records):
        places = dict.fromkeys(_place(r, wanted.table) for r in keep_newest(records))
        groups = [[r for r in records if _place(r, wanted.table) == place] for place in places]
    commits = sorted({r.commit for r in records if r.commit})
    measured = list(dict.fromkeys(r.measure for r in records))
    built = []
    tested = [_find_baseline(wanted.baseline, group, records) for group in groups]
    if wanted.table in ALONE:
        alone = [_alone(group, base, wanted, per_query, remark) for group, base in zip(groups, tested, strict=True)]
        if not (shown_alone := [t for t in alone if t.rows]):
            raise DataError(f"--table {wanted.table}: nothing to report", hint=MAKES[wanted.table])
        return remarks.tell_untested(shown_alone, tested, wanted.baseline, wanted.table, every)
    for group, base in zip(groups, tested, strict=True):
        places_here = dict.fromkeys(f"{r.dataset} {r.split}".strip() for r in group)
        if wanted.table == COMPRESSION or {GAP, OVERLAP} & set(columns):
            group = add_gap(add_overlap(keep_newest(group), best), headline(group, shown))
        options = TableOptions(
            title=next(iter(places_here)) if len(places_here) == 1 else f"{headline(group, shown)} by data set",
            baseline=base,
            per_query=per_query,
            test=wanted.test,
            correction=wanted.correction,
            marks=wanted.marks,
            allow_mixed=wanted.mixed,
            own_similarity=wanted.table in ACROSS,
            command=wanted.command,
            commit=commits[-1] if len(commits) == 1 else "",
            remarks=remark,
        )
        of_groups = [] if set(wanted.datasets.replace(",", " ").split()).isdisjoint(GROUPS) else dataset_names(wanted)
        chosen = choose(group, wanted.table, measures=shown, columns=columns, datasets=of_groups, elsewhere=measured)
        built.append(build(group, chosen, options))
    built = remarks.tell_untested(built, tested, wanted.baseline, wanted.table, every)
    return remarks.tell_empty(built, records) if columns else built


def _alone(
    group: Sequence[Record], baseline: RowKey | None, wanted: Wanted, per_query: PerQuery, remark: tuple[str, ...]
) -> Table:
    """One data set and split in a table that chooses its rows and columns itself."""
    measure, (words, build_alone) = headline(group, read_measures(wanted)), ALONE[wanted.table]
    commits = sorted({r.commit for r in group if r.commit})
    options = TableOptions(
        title=f"{group[0].dataset} {group[0].split} {measure}, {words}",
        baseline=baseline,
        per_query=per_query,
        test=wanted.test,
        correction=wanted.correction,
        marks=wanted.marks,
        allow_mixed=wanted.mixed,
        command=wanted.command,
        commit=commits[-1] if len(commits) == 1 else "",
        remarks=remark,
    )
    return build_alone(group, measure, options)


def _without_fronts(records: Sequence[Record], table: str) -> list[Record]:
    """The records without the rows of fronts, and without answers by contexts; all where there are no others.

    A front has the same vectors in a dozen forms, by several similarities: a table of its own.
    """
    answers = [r for r in records if r.method == answers_table.METHOD]
    if table == ANSWERS:
        return answers
    records = [r for r in records if r.method != answers_table.METHOD] or answers
    others = [r for r in records if not r.part]
    return others if others and table != ISOTROPY else list(records)


def _place(r: Record, table: str) -> tuple[str, str, str]:
    """What has one table: of a front each similarity, for scores of two share no column but in its own table."""
    return r.dataset, r.split, r.similarity if r.part and table != ISOTROPY else ""


def _find_baseline(name: str, group: Sequence[Record], records: Sequence[Record]) -> RowKey | None:
    """The row of one table that a user names: as its label is there, or as it is among all records. None: not there.

    Raises ConfigError where the name fits several rows of the table.
    """
    shown = keep_newest(group)
    if not name or find_rows(name, shown):
        return find_row(name, shown) if name else None
    alike = [key for key, label in label_rows(keep_newest(records)).items() if label == name]
    return next((key for key in alike if key in label_rows(shown)), None)


def narrow(records: Sequence[Record], wanted: Wanted) -> list[Record]:
    """Records of the data sets and split asked for. Without --split, a data set's dev gives way to its other splits.

    Fronts give way to single evaluations, but in their own table.
    """
    kept = _without_fronts(records, wanted.table)
    if wanted.datasets:
        known = sorted({name for r in kept for name in (r.dataset, r.called) if name})
        names = dataset_names(wanted, known)
        if not set(names) & set(known):
            raise DataError(f"no evaluation on {wanted.datasets}", hint=f"Evaluated: {', '.join(known)}")
        for name in _words(wanted.datasets, known):
            if name not in known and name not in GROUPS:
                raise DataError(f"no evaluation on '{name}'", hint=plugins.nearest(name, known))
        kept = [r for r in kept if r.dataset in names or r.called in names]
    codes = [r for r in kept if r.split in neighbour_recall.OF_CODES]
    kept = [r for r in kept if r.split not in neighbour_recall.OF_CODES]
    if wanted.split:
        kept = [r for r in kept if _is_split(r, wanted.split, kept)]
        if not kept:
            known = sorted({r.split for r in records})
            hint = plugins.nearest(wanted.split, known)
            if any(_is_split(r, wanted.split, records) for r in records):
                hint = f"Transform fronts have it (--table {ISOTROPY}), or answers by contexts (--table {ANSWERS})"
            raise DataError(f"no evaluation on split '{wanted.split}' in --table {wanted.table}", hint=hint)
        return kept + codes
    reported = {r.dataset for r in kept if not _chooses(r.split) and not neighbour_recall.is_recall(r.measure)}
    return [r for r in kept if not _chooses(r.split) or r.dataset not in reported] + codes


def dataset_names(wanted: Wanted, known: Sequence[str] = ()) -> list[str]:
    """The data sets of --dataset, groups such as beir-14 taken apart, by their names in the ledger."""
    words = _words(wanted.datasets, known)
    return list(dict.fromkeys(name for word in words for name in sorted(GROUPS.get(word, (word,)))))


def _words(text: str, known: Sequence[str]) -> list[str]:
    """Names between commas or blanks; a known name may hold either."""
    if text.strip() in known:
        return [text.strip()]
    parts = [part.strip() for part in text.split(",")]
    return [word for part in parts for word in ([part] if part in known else part.split())]


def _chooses(split: str) -> bool:
    """Whether checkpoints are chosen on it: dev, or so many queries held out `of` a split."""
    return split == "dev" or " of " in split


def _is_split(record: Record, wanted: str, among: Sequence[Record]) -> bool:
    """dev+test is test+dev; `all` is that of this name, else the pool of most splits a data set was evaluated on."""
    if wanted == ALL:
        mine = [r.split for r in among if r.dataset == record.dataset]
        if ALL in mine:
            return record.split == ALL
        return record.split == max(mine, key=lambda s: s.count(POOL)) and POOL in record.split
    return sorted(record.split.split(POOL)) == sorted(s.strip() for s in wanted.split(POOL))


def read_measures(wanted: Wanted) -> list[str]:
    """The measures named, in their own spelling; recall of neighbours among them. Raises ConfigError."""
    words = split_list(wanted.measures)
    judged = [w for w in words if not neighbour_recall.is_recall(w)]
    return [*(m.name for m in (parse(" ".join(judged)) if judged else ())), *(w for w in words if w not in judged)]


def _column_name(text: str) -> str:
    """A measure in its own spelling, any other column as it is."""
    try:
        return parse_one(text).name
    except ConfigError:
        return text
