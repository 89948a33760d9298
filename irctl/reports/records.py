"""One measured value with everything that a table must know about it: the rows that reports are made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Any

from irctl.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Record:
    """A mean of one evaluation, and the lineage behind it."""

    dataset: str
    split: str
    measure: str
    value: float
    run_id: str  # the evaluation
    part: str = ""  # what of it, where one run measured several transforms or similarities
    created_at: str = ""
    system: str = ""  # label of its row
    variant: str = ""  # tells two systems of one label apart: their settings without the seed
    traits: Mapping[str, str] = field(default_factory=dict)  # settings that may tell it from others of its label
    method: str = ""
    loss: str = ""
    model: str = ""
    compression: str = ""  # empty for uncompressed vectors
    base: str = ""  # identity of the uncompressed vectors; empty where there are none (BM25)
    vectors: str = ""  # the label of those vectors
    transform: str = ""  # what those vectors went through; empty where they are as encoded
    code: str = ""  # identity of the compression, of whatever vectors, or of none; empty where there are no vectors
    code_label: str = ""  # its label; empty for uncompressed vectors
    seed: int | None = None  # of the training
    code_seed: int | None = None  # of the compression: another start of its k-means, another rotation
    start: str = ""  # identity of the compression with its seed; trained codes have that of those they began with
    lost: str = ""  # what is known of codes that no run of the ledger wrote: their bundle's hash; else empty
    bytes_per_vector: float | None = None
    rerank: int = 0  # how many of the best exact vectors re-scored
    qrels_sha256: str = ""
    documents: str = ""  # hash of the collection that was searched; empty where the evaluation read none
    data_path: str = ""  # where that lay
    called: str = ""  # the data set as the files of the run call it, where tables have to say more; else empty
    queries: str = ""  # the file that they are of; empty for those of a collection
    k: int | None = None
    similarity: str = ""
    self_match: str = ""
    top_grade: int | None = None  # of the scale, where the measure reads it
    negatives_per_query: int | None = None
    selected_on_eval: bool = False
    n_queries: int = 0
    n_missing: int = 0
    reading: Mapping[str, Any] = field(
        default_factory=dict
    )  # irctl/models/fingerprints.py; empty: not recorded, no texts
    lineage: tuple[str, ...] = ()  # runs behind the evaluation, nearest first
    command: str = ""
    commit: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)  # other numbers of the system: mse, gpu_hours, iso, ...
    fact_runs: Mapping[str, str] = field(default_factory=dict)  # fact -> the run that measured it, if not run_id
    fact_queries: Mapping[str, str] = field(default_factory=dict)  # fact -> the queries that it was measured by

    @property
    def cell(self) -> tuple[str, str, str]:
        return self.dataset, self.split, self.measure

    @property
    def seeds(self) -> tuple[int | None, int | None]:
        """What runs of one system differ in."""
        return self.seed, self.code_seed


RowKey = tuple[str, str]
"""(system, variant)."""

MODEL = "model"
"""The trait that holds the model's whole name."""

QUERIES = "queries"
# What must agree within one column, and how a message names it.
FACETS = {
    "qrels_sha256": "judgements",
    "documents": "documents",
    QUERIES: "queries",
    "k": "depth k",
    "similarity": "similarity",
    "self_match": "self-match rule",
    "top_grade": "top grades",
    "negatives_per_query": "negatives a query",
}


def keep_newest(records: Iterable[Record]) -> list[Record]:
    """The newest record of each (system, seeds, dataset, split, measure): evaluating again replaces."""
    best: dict[tuple[object, ...], Record] = {}
    for r in records:
        key = (r.system, r.variant, *r.seeds, *r.cell)
        if key not in best or (r.created_at, r.run_id) >= (best[key].created_at, best[key].run_id):
            best[key] = r
    return sorted(best.values(), key=lambda r: (r.created_at, r.run_id, r.cell))


def average_seeds(records: Iterable[Record]) -> list[Record]:
    """The newest records with one of each system and cell: the mean over its seeds, under the ids of all their runs."""
    return [_average(alike) for alike in gather_seeds(records)]


def gather_seeds(records: Iterable[Record]) -> list[list[Record]]:
    """The newest records, those of one system and cell together: what they differ in is the seed."""
    shown: dict[tuple[object, ...], list[Record]] = {}
    for r in keep_newest(records):
        shown.setdefault((r.system, r.variant, *r.cell), []).append(r)
    return list(shown.values())


def spread(alike: Sequence[Record]) -> float | None:
    """Standard deviation (n - 1) of the values over seeds; None of a single one."""
    return stdev(r.value for r in alike) if len(alike) > 1 else None


def _average(alike: Sequence[Record]) -> Record:
    names = {name for r in alike for name in r.facts}
    facts = {name: _mean([r.facts[name] for r in alike if name in r.facts]) for name in sorted(names)}
    runs = " ".join(r.run_id for r in alike)
    return replace(alike[-1], value=_mean([r.value for r in alike]), run_id=runs, facts=facts)


def _mean(values: Sequence[float]) -> float:
    """Of equal values that value, to the last digit: sizes are compared."""
    return values[0] if len(set(values)) == 1 else fmean(values)


def label_rows(records: Sequence[Record]) -> dict[RowKey, str]:
    """Row keys in order of appearance with labels; equal labels get more of the model's path, or what differs."""
    traits = {(r.system, r.variant): r.traits for r in records}
    names = _add_paths(traits)
    labels: dict[RowKey, str] = {}
    for system, variant in traits:
        alike = [t for (s, _), t in traits.items() if s == system]
        mine = traits[system, variant]
        differing = sorted(k for k in {k for t in alike for k in t} if len({t.get(k) for t in alike}) > 1)
        shown = names[system, variant]
        apart = {MODEL} if shown != system else set()
        words = [f"{k.rpartition('.')[2]}={mine[k]}" for k in differing if k in mine and k not in apart]
        labels[system, variant] = " ".join([shown, *words]) if len(alike) > 1 else system
    counts = Counter(labels.values())
    return {key: label if counts[label] == 1 else f"{label} [{key[1][:8]}]" for key, label in labels.items()}


def _add_paths(traits: Mapping[RowKey, Mapping[str, str]]) -> dict[RowKey, str]:
    """Labels in which a model's name has as much of its path as tells it from others of that name."""
    label_of: dict[RowKey, str] = {}
    for (system, variant), mine in traits.items():
        others = {t[MODEL] for (s, _), t in traits.items() if s == system and t.get(MODEL)} - {mine.get(MODEL)}
        parts = mine.get(MODEL, "").rstrip("/").split("/")
        label_of[system, variant] = system
        if others and system.startswith(parts[-1]):
            ends = [other.rstrip("/").split("/") for other in others]
            depth = next((n for n in range(1, len(parts)) if parts[-n:] not in [e[-n:] for e in ends]), len(parts))
            label_of[system, variant] = "/".join(parts[-depth:]) + system.removeprefix(parts[-1])
    return label_of


Wholes = Mapping[tuple[str, tuple[str, str, str]], Sequence[Record]]
"""Evaluations of uncompressed vectors as encoded, in their order, by (base, cell)."""


def index_wholes(records: Iterable[Record]) -> Wholes:
    """What the others of these records are compared with."""
    found: dict[tuple[str, tuple[str, str, str]], list[Record]] = {}
    for r in records:
        if r.base and not r.compression and not r.transform:
            found.setdefault((r.base, r.cell), []).append(r)
    return found


def compute_kept(record: Record, wholes: Wholes) -> float | None:
    """Share of the uncompressed score that a system keeps; None without its uncompressed counterpart."""
    if record.base and not record.compression and not record.transform:
        return 1.0
    whole = find_uncompressed(record, wholes)
    return record.value / whole.value if whole is not None and whole.value else None


def find_uncompressed(record: Record, wholes: Wholes) -> Record | None:
    """The newest evaluation of the vectors behind a record, uncompressed and as encoded, by the same queries.

    Itself where it is that. That of the same training seed, where there is one.
    """
    whole = [r for r in wholes.get((record.base, record.cell), ()) if r.qrels_sha256 == record.qrels_sha256]
    whole = [r for r in whole if r.seed == record.seed] or whole
    return whole[-1] if whole else None


def find_mixed(records: Sequence[Record], fact: str = "") -> dict[str, dict[str, str]]:
    """facet -> {value: a run with it} where records of a column disagree. Empty ones (no vectors, no training) pass.

    fact: of a column that shows a fact, in which only the queries that it was measured by must agree.
    """
    if fact:
        by = {q: r.fact_runs.get(fact, r.run_id) for r in records if (q := r.fact_queries.get(fact))}
        return {QUERIES: by} if len(by) > 1 else {}
    apart: dict[str, dict[str, str]] = {}
    for facet in FACETS:
        values: dict[str, str] = {}
        for r in records:
            value = _depth(r) if facet == "k" else getattr(r, facet)
            if value not in ("", None):
                values.setdefault(str(value), r.run_id)
        if len(values) > 1:
            apart[facet] = values
    return apart


def _depth(record: Record) -> int | None:
    """The depth that the record's measure sees: nDCG@10 of 100 results and of 1,000 is one number."""
    cutoff = record.measure.rpartition("@")[2] if "@" in record.measure else ""
    return min(record.k, int(cutoff)) if record.k and cutoff.isdigit() else record.k


def refuse_mixed(column: str, records: Sequence[Record], fact: str = "") -> None:
    """Raise ConfigError naming what differs within a column, with one run of each value."""
    for facet, values in find_mixed(records, fact).items():
        shown = ", ".join(f"{value if facet == QUERIES else value[:12]} (run {run})" for value, run in values.items())
        raise ConfigError(
            f"column {column}: cells of different {FACETS[facet]}: {shown}",
            hint="Evaluate them alike, name the runs to show, or add --mixed",
        )


def find_row(name: str, records: Sequence[Record]) -> RowKey:
    """The row that a user names, as `rows_named` reads it. Raises ConfigError where that is none, or several."""
    named = find_rows(name, records)
    labels = label_rows(records)
    if not named:
        raise ConfigError(f"no row '{name}' among the evaluations", hint=f"Rows: {', '.join(labels.values())}")
    if len(named) > 1:
        raise ConfigError(
            f"'{name}' names {len(named)} rows: {', '.join(labels[key] for key in named)}",
            hint="Write one of them whole, in quotes, or the id of its run (--ids prints them)",
        )
    return named[0]


def find_rows(name: str, records: Sequence[Record]) -> list[RowKey]:
    """Rows with this run id (or its beginning), label, method, compression or loss, or part of a label; none or more.

    Where a name fits several, the uncompressed ones are meant, and of these the ones that nobody trained; but of a
    method those that were trained by it, since an encoder as it came is called dense too.
    """
    labels = label_rows(records)
    tests: tuple[Callable[[Record], bool], ...] = (
        lambda r: labels[r.system, r.variant] == name,
        lambda r: r.run_id == name or name in r.lineage,
        lambda r: r.system == name,
        lambda r: name == r.method and bool(r.loss) and not r.compression and bool(name),
        lambda r: name in (r.compression or "none", r.method, r.loss) and bool(name),
        lambda r: len(name) > 3 and any(i.startswith(name) for i in (r.run_id, *r.lineage)),
        lambda r: name.lower() in labels[r.system, r.variant].lower(),
    )
    for test in tests:
        hits = [r for r in records if test(r)]
        hits = [r for r in hits if not r.compression] or hits
        hits = [r for r in hits if not r.loss] or hits
        if hits:
            return list(dict.fromkeys((r.system, r.variant) for r in hits))
    return []
