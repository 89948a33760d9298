"""Scores a run against judgements: one order of documents for every engine, one divisor, no query forgotten.

The ranking of a query is made here: scores rounded to float32, score descending, then docid descending (trec_eval's
order). The engines see canonical scores k, k-1, ..., 1 in its place, because they break ties in different ways:
pytrec_eval by docid descending in float32, ir_measures' RR@k by docid ascending in float64.
Dimension key: N documents of a query.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from irctl.errors import ConfigError, DataError
from irctl.metrics.ranking.parsing import Measure, parse
from irctl.types import Qrels, Run

CANONICAL_VERSION = 1
"""Part of every content key: raise it when the order or the scores of a canonical run change."""


@dataclass(frozen=True)
class RankingResult:
    """Means over all judged queries, and what they were taken over. top_grade: of the scale, for measures that read it.

    n_missing: judged queries that the run lacks, counted 0. n_unjudged: queries of the run without judgements, ignored.
    n_without_relevant: queries whose judgements are all <= 0, counted 0. n_self_removed: rows dropped by self_match.
    """

    measures: tuple[Measure, ...]
    means: dict[str, float]
    per_query: dict[str, dict[str, float]] = field(repr=False)
    n_queries: int
    n_missing: int
    n_unjudged: int
    n_without_relevant: int
    self_match: str
    n_self_removed: int
    n_retrieved: dict[str, int] = field(repr=False)
    n_relevant: dict[int, dict[str, int]] = field(
        repr=False
    )  # rel -> query id -> judged documents of that grade or more
    top_grade: int


def canonicalize(run: Run, k: int | None = None, *, self_match: str = "keep") -> Run:
    """The run in its one order, cut to k, with float32 scores: the order of a query's dict is its ranking.

    self_match "drop" removes documents with the query's own id, before the cut. Raises DataError for NaN or infinity.
    """
    if self_match not in ("keep", "drop"):
        raise ConfigError(f"eval.self_match: expected keep or drop, found {self_match!r}")
    ordered: Run = {}
    for query_id, documents in run.items():
        scores_N = _round_scores(query_id, documents)
        pairs = sorted(zip(scores_N, documents, strict=True), reverse=True)
        if self_match == "drop":
            pairs = [pair for pair in pairs if pair[1] != query_id]
        ordered[query_id] = {docid: score for score, docid in pairs[:k]}
    return ordered


def _round_scores(query_id: str, documents: dict[str, float]) -> list[float]:
    scores_N = np.fromiter(documents.values(), np.float64, len(documents))
    with np.errstate(over="ignore"):
        rounded_N = scores_N.astype(np.float32)
    finite_N = np.isfinite(rounded_N)
    if not finite_N.all():
        docid = list(documents)[int(np.argmin(finite_N))]
        raise DataError(f"query {query_id}, document {docid}: expected a finite score, found {documents[docid]}")
    values: list[float] = rounded_N.tolist()
    return values


def to_canonical_scores(ordered: Run) -> Run:
    """Scores k, k-1, ..., 1 by rank: all that an engine may see."""
    return {q: {d: float(n) for n, d in zip(range(len(docs), 0, -1), docs, strict=True)} for q, docs in ordered.items()}


def run_sha256(ordered: Run) -> str:
    """Hash of a canonical run's content; the order of its queries does not count."""
    content = hashlib.sha256(f"canonical {CANONICAL_VERSION}\n".encode())
    for query_id in sorted(ordered):
        for docid, score in ordered[query_id].items():
            content.update(f"{query_id}\t{docid}\t{score:.9g}\n".encode())
    return content.hexdigest()


def evaluate(
    run: Run,
    qrels: Qrels,
    measures: str | Iterable[str],
    *,
    self_match: str = "keep",
    k: int | None = None,
    top_grade: int | None = None,
) -> RankingResult:
    """Means and per-query values of the measures over the judged queries.

    k: cut the ranking there first. top_grade: of the scale; None: the highest of the judgements.
    Raises DataError for a score that is not finite, an empty qrels, or a run that is empty or without any judged
    query; ConfigError for measures that do not exist.
    """
    wanted = tuple(parse(measures))
    if not qrels:
        raise DataError("no judged query to evaluate on", hint="Check the split or the qrels file")
    judged = {q: docs for q, docs in run.items() if q in qrels}
    if not run:
        raise DataError("nothing was ranked: the run holds no query", hint="Check the search that made it")
    if not judged:
        raise DataError(
            f"none of the run's {len(run)} queries is judged (run: {next(iter(run))}, qrels: {next(iter(qrels))})",
            hint="Check that the run and the split belong together",
        )
    whole = canonicalize(judged, self_match=self_match)
    removed = sum(map(len, judged.values())) - sum(map(len, whole.values()))
    ordered = {q: dict(list(docs.items())[:k]) for q, docs in whole.items()} if k else whole
    # trec_eval reads negative grades as "not judged"; here they are judged and worth nothing, but to measures that ask.
    grades = {q: {d: max(int(g), 0) for d, g in docs.items()} for q, docs in qrels.items()}
    top = _top_grade(grades, top_grade, wanted)
    raw = [m for m in wanted if m.reads("negative_grades")]
    per_query = {m.name: dict.fromkeys(grades, 0.0) for m in wanted}
    per_query |= _compute_values(ordered, grades, [m for m in wanted if m not in raw], top)
    per_query |= _compute_values(ordered, qrels, raw, top)
    rels = sorted({m.rel for m in wanted} | {1})
    return RankingResult(
        measures=wanted,
        means={name: math.fsum(values.values()) / len(qrels) for name, values in per_query.items()},
        per_query=per_query,
        n_queries=len(qrels),
        n_missing=sum(q not in run for q in qrels),
        n_unjudged=len(run) - len(judged),
        n_without_relevant=sum(not any(docs.values()) for docs in grades.values()),
        self_match=self_match,
        n_self_removed=removed,
        n_retrieved={q: len(ordered.get(q, ())) for q in qrels},
        n_relevant={rel: {q: sum(g >= rel for g in docs.values()) for q, docs in grades.items()} for rel in rels},
        top_grade=top,
    )


def _top_grade(grades: Qrels, stated: int | None, wanted: Sequence[Measure]) -> int:
    """The stated top grade, else the highest of the judgements. DataError where one that a measure reads is higher."""
    query_id, docid, highest = max(
        ((q, d, g) for q, docs in grades.items() for d, g in docs.items()),
        key=lambda judged: judged[2],
        default=("", "", 0),
    )
    reader = next((m.name for m in wanted if m.reads("top_grade")), "")
    if stated is not None and highest > stated and reader:
        raise DataError(
            f"{reader}: expected grades up to {stated} (top_grades of the collection's card), "
            f"found {highest} for query {query_id}, document {docid}",
            hint="Mend the card, or the judgements",
        )
    return stated or max(highest, 1)


def _compute_values(
    ordered: Run, grades: Qrels, wanted: Sequence[Measure], top_grade: int
) -> dict[str, dict[str, float]]:
    """measure -> query id -> value, 0 where an engine gives none, queries in the order of the judgements."""
    import ir_measures

    values: dict[str, dict[str, float]] = {m.name: dict.fromkeys(grades, 0.0) for m in wanted}
    own = {m.name: value for m in wanted if (value := m.own(top_grade)) is not None}
    engines = {m.engine(): m.name for m in wanted if m.name not in own}
    if engines and ordered:
        for metric in ir_measures.iter_calc(list(engines), grades, to_canonical_scores(ordered)):
            values[engines[metric.measure]][metric.query_id] = float(metric.value)
    for name, value in own.items():
        for query_id, documents in ordered.items():
            values[name][query_id] = value(list(documents), grades[query_id])
    return values
