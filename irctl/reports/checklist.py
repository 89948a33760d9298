"""What reviewers ask of a results section, and which of it the records answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from irctl.reports.records import Record

NAMED = 4
"""As many systems that lack something as a line names."""


@dataclass(frozen=True)
class Item:
    """One question. is_present says whether the records answer it; detail is the answer, or what would give one."""

    question: str
    is_present: bool
    detail: str


def _same(records: Sequence[Record], of: Callable[[Record], object]) -> tuple[bool, list[str]]:
    values = sorted({str(of(r)) for r in records if of(r) not in (None, "")})
    return len(values) == 1, values


def checklist(records: Sequence[Record]) -> list[Item]:
    """Every question with its answer, in the order a reader meets them."""
    trained = [r for r in records if r.seed is not None]
    systems = {(r.system, r.variant) for r in records}
    methods = {r.method for r in records}
    same_model, models = _same(trained, lambda r: r.model)
    same_negatives, negatives = _same(
        [r for r in trained if r.negatives_per_query is not None], lambda r: r.negatives_per_query
    )
    seeds = {key: len({r.seed for r in trained if (r.system, r.variant) == key}) for key in systems}
    fewest = min((n for n in seeds.values() if n), default=0)
    selected = sorted({f"{r.dataset} {r.split}" for r in records if r.selected_on_eval})
    lexical = "bm25" in methods
    untouched = any(r.method == "dense" and r.seed is None and not r.compression for r in records)
    return [
        Item("lexical baseline", lexical, "BM25" if lexical else "irctl search --retriever bm25, then irctl eval"),
        Item("untouched encoder", untouched, "evaluated" if untouched else "irctl eval --model BASE"),
        Item("one base model across trained arms", same_model, ", ".join(models) or "nothing was trained"),
        Item("one number of negatives a query", same_negatives, ", ".join(negatives) or "nothing was trained"),
        Item("three training seeds or more", fewest >= 3, f"{fewest} at least" if fewest else "nothing was trained"),
        Item("checkpoint not chosen on a reported split", not selected, ", ".join(selected) or "none was"),
        Item("every judged query answered", not any(r.n_missing for r in records), "missing ones count 0"),
        _fact(records, "bytes a vector", lambda r: r.bytes_per_vector, "irctl compress"),
        _fact(records, "size of the index", lambda r: r.facts.get("index_bytes"), "irctl compress"),
        _fact(records, "queries a second, all at once", lambda r: r.facts.get("queries_per_s"), "irctl search"),
        _fact(
            records, "latency of one query", lambda r: r.facts.get("latency_ms"), "irctl eval --set search.latency=100"
        ),
        _fact(records, "trained parameters", lambda r: r.facts.get("params"), "irctl train"),
        _fact(records, "device hours", lambda r: r.facts.get("gpu_hours") or r.facts.get("cpu_hours"), "irctl train"),
        _fact(records, "isotropy with N and D", lambda r: r.facts.get("iso"), "an isotropic arm"),
    ]


def _fact(records: Sequence[Record], question: str, of: Callable[[Record], float | None], source: str) -> Item:
    have = {r.system for r in records if of(r) is not None}
    every = {r.system for r in records}
    if not have:
        return Item(question, False, f"recorded by {source}")
    lacking = sorted(every - have)
    more = f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
    without = f", not of {', '.join(lacking[:NAMED])}{more}" if lacking else ""
    return Item(question, True, f"{len(have)} of {len(every)} systems{without}")
