"""Footnotes: what a reader must know to trust a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from irctl.errors import counted
from irctl.reports import isotropy
from irctl.reports.columns import Column, averaged
from irctl.reports.notes import query_counts, shares
from irctl.reports.records import FACETS, QUERIES, Record, RowKey, find_mixed
from irctl.reports.significance import CORRECTED, Comparison

if TYPE_CHECKING:
    from irctl.reports.comparisons import Macro
    from irctl.reports.equal_bytes import Gap

SEEDS_FOR_SD = 3
BEST = "best bold, second best underlined"
"""How cells are marked; where nothing can be bold, a format says its own."""
TEST_NAMES = {"t": "paired t-test", "randomisation": "paired randomisation test, 10,000 sign flips"}

_OPEN = frozenset(
    {"trec-covid", "nfcorpus", "nq", "hotpotqa", "fiqa", "arguana", "quora", "dbpedia-entity", "scidocs", "fever"}
    | {"climate-fever", "scifact"}
)
GROUPS: dict[str, frozenset[str]] = {
    "beir-13": _OPEN | {"beir/msmarco"},
    "beir-14": _OPEN | {"webis-touche2020", "cqadupstack"},
    "beir-15": _OPEN | {"webis-touche2020", "cqadupstack", "beir/msmarco"},
    "beir-18": _OPEN | {"webis-touche2020", "cqadupstack", "bioasq", "signal1m", "trec-news", "robust04"},
}

# Data that well-known models were trained on, by their model cards: no zero-shot test for them.
SEEN = {
    "all-mpnet-base-v2": ("msmarco", "beir/msmarco", "nq", "quora"),
    "all-minilm-l6-v2": ("msmarco", "beir/msmarco", "nq", "quora"),
}


def write_footnotes(
    records: Sequence[Record],
    columns: Sequence[Column],
    baseline: str,
    compared: Sequence[Comparison],
    correction: str,
    marks: str,
    gaps: Sequence[Gap] = (),
) -> list[str]:
    """Notes in the order a reader needs them."""
    cells = list(dict.fromkeys((c.dataset, c.split) for c in columns if c.kind == "measure"))
    used = [r for r in records if (r.dataset, r.split) in cells]
    notes = _datasets(cells, next((averaged(c, columns) for c in columns if c.kind == "average"), []), records)
    if any(c.kind == "measure" for c in columns):
        notes.append(f"Measures ×100; {BEST}, decided on the rounded value.")
    notes += _seeds(used)
    notes += _comparisons(compared, baseline, correction, marks)
    notes += _self_match(used)
    judged = {c.cell for c in columns if c.kind == "measure"}
    scales = {
        f"{r.measure} up to {r.top_grade} ({r.dataset} {r.split})" for r in used if r.top_grade and r.cell in judged
    }
    if scales:
        notes.append(f"Scale of grades: {', '.join(sorted(scales))}.")
    if missing := sorted({f"{r.system}: {r.n_missing} of {r.n_queries} on {r.dataset}" for r in used if r.n_missing}):
        notes.append(f"Judged queries without results count 0: {'; '.join(missing)}.")
    if selected := sorted({f"{r.system} on {r.dataset} {r.split}" for r in used if r.selected_on_eval}):
        notes.append(f"Selected on the split it is reported on (selected_on_eval): {', '.join(selected)}.")
    notes += isotropy.footnotes([c.key for c in columns], used or records)
    notes += shares.tell(columns, records, gaps)
    notes += _compression({c.key for c in columns}, records)
    notes += _speed({c.key for c in columns}, records)
    if lost := sorted({r.system for r in records if r.lost}):
        notes.append(
            f"Codes that no run of this ledger wrote, known by what their evaluation recorded alone, each bundle a row "
            f"(codes=the beginning of its hash): {', '.join(lost)}."
        )
    notes += _contamination(used)
    for c in columns:
        of_it = [r for r in records if c.kind == "fact" or (c.kind == "measure" and r.cell == c.cell)]
        differing = find_mixed(of_it, c.key if c.kind == "fact" else "")
        for facet, values in differing.items():
            told = ", ".join(v if facet == QUERIES else v[:12] for v in values)
            notes.append(f"Mixed cells in {c.key}: {FACETS[facet]} {told}.")
    return notes


def _compression(keys: set[str], records: Sequence[Record]) -> list[str]:
    notes = []
    if (
        some := sorted({r.system for r in records if r.facts.get("partial")})
        if keys & {"rows", "bytes_per_row"}
        else []
    ):
        notes.append(f"Partial: stopped before the end of the input: {', '.join(some)}.")
    if "bytes_per_row" in keys:
        notes.append("Bytes a row: of the files of codes, ids not counted; 4 bytes a dimension where not compressed.")
    if "bytes_with_ids" in keys:
        notes.append("Bytes with ids: of the files of codes and of document ids.")
    if "bits" in keys:
        notes.append("Bits: slices x bits a slice of product codes, else 8 a byte.")
    if keys & {"imbalance", "row_error"}:
        notes.append(
            "Imbalance of the codes of a training's last batches, average over centroids, and row error of their "
            "balanced plan; both the mean over slices."
        )
    if "mse" in keys:
        notes.append("Held-out MSE: over the squared length, of rows that were not trained on.")
        transforms = {r.transform for r in records if "mse" in r.facts}
        if len(transforms) > 1:
            behind = sorted({r.system for r in records if "mse" in r.facts and r.transform})
            notes.append(f"MSE of each transform is of a space of its own, not to be compared: {', '.join(behind)}.")
        if of_others := sorted({r.system for r in records if "mse" in r.facts and "held_out_rows" not in r.facts}):
            notes.append(f"MSE of rows that may have been trained on: {', '.join(of_others)}.")
    if keys & {"probe_recall@10", "probe_recall@100"}:
        notes.append(
            "Probe: recall ×100 of exact neighbours in a sample of rows, held-out rows as queries; the sample is of "
            "rows that were not trained on where there are enough."
        )
    if keys & {"recall_exact@10", "recall_exact@100"}:
        notes.append("Exact: recall ×100 of exact neighbours among all rows, held-out queries.")
    if "recall_codes@10" in keys:
        notes.append(
            "Codes: the same before exact vectors re-score the best; those vectors are not counted in the bytes."
        )
    if keys & {"hours", "cpu_hours", "gpu_hours"}:
        notes.append("Hours of the training: passed, of processors, of GPUs; blank where nothing was trained.")
    if "train_s" in keys and any(r.compression and r.loss for r in records):
        notes.append("Train CPU-s: of the quantizer; of trained codes, all of their training.")
    if rates := {k for k in keys if k.endswith("_rows_per_cpu_s")}:
        notes.append("Speed in thousands of rows a CPU second of reader, encoder and writer.")
        together: dict[str, set[str]] = {}
        for r in records:
            for run in {r.fact_runs[k] for k in rates & r.fact_runs.keys()}:
                together.setdefault(run, set()).add(r.variant)
        if shared := sorted(run for run, variants in together.items() if len(variants) > 1):
            notes.append(f"Methods of one run share its speed, which is of all of them together: {', '.join(shared)}.")
    return notes


def _speed(keys: set[str], records: Sequence[Record]) -> list[str]:
    """What speeds of searches are of, which nothing but their note can tell."""
    notes = []
    timed = [r for r in records if "queries_per_s" in r.facts]
    if "queries_per_s" in keys and timed:
        told = [_list_counts(timed, "timed_queries", "query"), _list_counts(timed, "timed_threads", "thread")]
        notes.append(
            f"Queries/s: all queries at once, in one pass, by the clock: {', '.join(told)}. "
            "Runs differ by what else the machine did, too."
        )
    if keys & {"latency_ms", "latency_p95_ms"}:
        notes.append("Query ms: one query at a time, by the clock; median, and 95th percentile.")
    return notes


def _list_counts(records: Sequence[Record], fact: str, noun: str) -> str:
    known = sorted({int(r.facts[fact]) for r in records if fact in r.facts})
    shown = [*(f"{n:,}" for n in known[:-1]), *(counted(n, noun) for n in known[-1:])]
    is_lost = any(fact not in r.facts for r in records)
    return " or ".join([*shown, *([counted(None, noun)] if is_lost else [])])


def _datasets(
    cells: Sequence[tuple[str, str]], averaged_over: Sequence[tuple[str, str, str]], records: Sequence[Record]
) -> list[str]:
    """What the columns are of, and what their average is over; sets of it that nobody evaluated are named."""
    notes = [f"Data: {_shown(cells, records)}."] if cells else []
    over = [(d, s) for d, s, _ in averaged_over]
    if over and set(over) == set(cells):
        notes[0] += f" Avg: mean over these {len(cells)}, where all are there."
    elif over:
        there = [place for place in over if place[1]]
        lacking = [d for d, s in over if not s]
        notes.append(f"Avg: mean over {len(over)}, where all are there: {_shown(there, records)}.")
        if lacking:
            notes.append(f"Avg is blank: nothing was evaluated on {', '.join(lacking)}.")
    return notes


def _self_match(records: Sequence[Record]) -> list[str]:
    """What was done with documents of the query's own id: once where all agree."""
    data: dict[str, set[str]] = {}
    for r in records:
        if r.self_match:
            data.setdefault(r.self_match, set()).add(r.dataset)
    told = [rule + (f" ({', '.join(sorted(of))})" if len(data) > 1 else "") for rule, of in sorted(data.items())]
    return [f"Documents with the query's own id: {'; '.join(told)}."] if told else []


def _shown(cells: Sequence[tuple[str, str]], records: Sequence[Record]) -> str:
    """Data sets with their splits and numbers of queries, and the group that they are."""
    names = frozenset(d for d, _ in cells)
    group = next((f" ({g})" for g, members in GROUPS.items() if members == names), "")
    return ", ".join(query_counts.tell(cell, records) for cell in cells) + group


def _seeds(records: Sequence[Record]) -> list[str]:
    how = f"mean, and ± standard deviation from {SEEDS_FOR_SD} seeds up"
    notes = []
    if trained := _count([(r, r.seed) for r in records if r.seed is not None]):
        notes.append(f"Training seeds a system: {trained}; {how}.")
    if trained == "1":
        notes = ["One training seed a system: tests are over queries, not over trainings."]
    coded = _count([(r, r.code_seed) for r in records if r.code_seed is not None])
    return [*notes, f"Seeds of codes a system: {coded}; {how}."] if coded not in ("", "1") else notes


def _count(seeds: Sequence[tuple[Record, int | None]]) -> str:
    """How many seeds systems have, such as `1, 3`."""
    used: dict[tuple[str, str], set[int | None]] = {}
    for r, seed in seeds:
        used.setdefault((r.system, r.variant), set()).add(seed)
    return ", ".join(map(str, sorted({len(of_one) for of_one in used.values()})))


def _comparisons(compared: Sequence[Comparison], baseline: str, correction: str, marks: str) -> list[str]:
    if not compared:
        return []
    rule = CORRECTED[correction]
    claim = f"Differs from {baseline}: † p < .05, †† p < .01"
    if marks == "letters":
        claim = "Letters name the rows beaten, p < .05"
    notes = [f"{claim}; {TEST_NAMES[compared[0].test]} over queries, {rule}, family of {len(compared)}."]
    if undefined := sum(c.p_raw is None for c in compared):
        notes.append(
            f"Undefined: {counted(undefined, 'comparison')}: one query, or the same difference for every query."
        )
    return notes


def write_macro(means: Sequence[Macro], baseline: str) -> list[str]:
    """Differences of the average, a clause a row."""
    if not means:
        return []
    shown = "; ".join(f"{m.system} {100 * m.delta:+.1f} [{100 * m.low:+.1f}, {100 * m.high:+.1f}]" for m in means)
    return [f"Avg minus that of {baseline}, 95 % interval of a bootstrap of queries within each data set: {shown}."]


def tell_similarities(records: Sequence[Record], labels: Mapping[RowKey, str]) -> list[str]:
    """By what each row was searched, where that differs."""
    rows: dict[str, dict[str, None]] = {}
    for r in (r for r in records if r.similarity):
        rows.setdefault(r.similarity, {})[labels[r.system, r.variant]] = None
    shown = "; ".join(f"{similarity} ({', '.join(names)})" for similarity, names in sorted(rows.items()))
    return [f"Compared by: {shown}."] if len(rows) > 1 else []


def _contamination(records: Sequence[Record]) -> list[str]:
    notes = set()
    for r in records:
        model = r.model.rstrip("/").rsplit("/", 1)[-1].lower()
        if r.dataset in SEEN.get(model, ()):
            notes.add(f"{model} saw {r.dataset}")
    return [f"Not zero-shot: {', '.join(sorted(notes))} in its own training."] if notes else []
