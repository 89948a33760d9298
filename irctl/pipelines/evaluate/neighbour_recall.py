"""`irctl eval --recall-against exact`: how many of the exact nearest rows a search of codes finds, on held-out queries.

Exact means: over the vectors that the codes were made of. Queries are a collection's, encoded, or vectors of a file.
Dimension key: Q queries, D dimensions, k results.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl import stopping
from irctl.errors import ConfigError, DataError
from irctl.index.rerank import check_depth
from irctl.index.topk import Rows
from irctl.ledger import taken
from irctl.metrics.vectors.neighbour_recall import shares
from irctl.pipelines.evaluate import exact_neighbours, held_out_queries
from irctl.pipelines.evaluate.held_out_queries import HeldOutQueries, source_name
from irctl.pipelines.evaluate.measurements import Measurements
from irctl.pipelines.references import bundles
from irctl.pipelines.search import exact_vectors, opened_index, spread
from irctl.pipelines.search.document_ids import Documents
from irctl.pipelines.search.opened_index import Searched
from irctl.pipelines.search.speed import measure_speed
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.evaluate.request import EvalRequest


FOUND, CODES = "recall_exact", "recall_codes"
"""Recall of what the search returns; and, where exact vectors re-score its best, of the codes without that."""
DEPTHS = (10, 100)


@dataclass(frozen=True)
class _Task:
    """What is the same for every set of queries. fresh: do not use exact results that were kept."""

    searched: Searched
    exact: exact_neighbours.First
    depths: list[int]
    config: Config
    run: RunHandle
    reporter: Reporter
    fresh: bool


def measure(config: Config, run: RunHandle, reporter: Reporter, request: EvalRequest) -> Measurements:
    """Recall of the exact nearest rows by the codes of a bundle (default: the newest), for each split asked for.

    Raises ConfigError if the index holds no codes, or if nothing says which queries; DataError if the vectors are gone.
    """
    index = request.index or next(iter(request.run_files), None)
    if index in (None, "latest"):
        index = taken.name_of(bundles.folder_of("latest"))
        taken.record(run, "--index", index)
    searched = opened_index.open_index(str(index), config, reporter)
    if searched.bundle is None:
        raise ConfigError(
            f"{index}: holds vectors, so its search is exact", hint="Name a bundle; irctl compress makes one"
        )
    exact = exact_neighbours.First(exact_vectors.open_exact(searched, config), searched.rows)
    assert searched.folder is not None
    run.artifact("in", "bundle", searched.folder, sha256=searched.fingerprint, n_rows=searched.rows, dim=searched.dim)
    task = _Task(
        searched,
        exact,
        _choose_depths(config.search.k if "search.k" in config.origins else 0, config.search.rerank, searched.rows),
        config,
        run,
        reporter,
        request.overwrite,
    )
    measured = Measurements()
    for queries in held_out_queries.read(searched, config, request, reporter):
        stopping.check("nothing of a measured recall is kept")
        queries = replace(queries, dataset=run.scrub(queries.dataset), split=run.scrub(queries.split))
        nearest = ", ".join(map(str, task.depths))
        reporter.say(f"recall of the exact {nearest} nearest, {queries.dataset} {queries.split}")
        measured.add(_measure_queries(queries, task))
    return measured


def _choose_depths(asked: int, rerank: int, rows: int) -> list[int]:
    """10 and 100; where a -k was asked (else 0), those below it and -k itself.

    Depths that take in every row are left out; such a -k is refused.
    """
    depths = sorted({*(d for d in DEPTHS if d < asked), asked}) if asked else list(DEPTHS)
    check_depth(rerank, max(depths))
    telling = [d for d in depths if d < rows]
    if not telling or asked >= rows:
        raise DataError(f"recall of the {asked or min(DEPTHS)} nearest says nothing about an index of {rows} rows")
    return telling


@dataclass(frozen=True)
class _Searches:
    """rows_Qk by the name of their recall, and the exact ones, the queries' own rows taken out. speed: of the codes."""

    rows: dict[str, Rows]
    exact_Qk: Rows
    truth: exact_neighbours.Nearest
    speed: dict[str, float]


def _search(queries: HeldOutQueries, task: _Task) -> _Searches:
    """Search the codes and the exact vectors, one result deeper where own rows are taken out afterwards."""
    searched, config, reporter = task.searched, task.config, task.reporter
    drops = queries.self_match == "drop"
    k, rerank = max(task.depths) + drops, config.search.rerank
    queries_QD = queries.vectors_QD
    truth = exact_neighbours.find_nearest(
        queries_QD, task.exact, k, searched.metric, reporter, block=config.search.block, fresh=task.fresh
    )
    if queries.collection is None:
        held_out_queries.check_held_out(queries_QD, truth.rows_Qk, task.exact, reporter)
    started = time.perf_counter()
    depth = max(k, rerank + drops)
    best, threads = spread.search(searched, queries_QD, depth, config, task.run.paths.folder, reporter)
    rows = {CODES if rerank else FOUND: best.rows_Qk}
    if rerank:
        rows[FOUND] = exact_vectors.rescore(searched, queries_QD, best.rows_Qk, k, config)[1]
    speed = measure_speed(searched, queries_QD, k, time.perf_counter() - started, threads, config)
    if not drops:
        return _Searches(rows, truth.rows_Qk, truth, speed)
    documents = Documents(searched, queries.collection, reporter)
    rows = {name: _drop_own(rows_Qk, queries.ids, documents) for name, rows_Qk in rows.items()}
    return _Searches(rows, _drop_own(truth.rows_Qk, queries.ids, documents), truth, speed)


def _measure_queries(queries: HeldOutQueries, task: _Task) -> Measurements:
    """Recall at every depth on one set of queries."""
    searches = _search(queries, task)
    search = _search_facts(queries, task, searches.truth.key)
    for name, value in searches.speed.items():
        task.run.metric(name, value, dataset=queries.dataset, split=queries.split)
    measured = Measurements(searches=[search], lines=[_line(queries, task, searches.truth.was_kept)])
    same = {
        "dataset": queries.dataset,
        "split": queries.split,
        "n_queries": len(queries.ids),
        "n_missing": 0,
        "n_unjudged": 0,
        "n_without_relevant": 0,
        "self_match": queries.self_match,
        "n_self_removed": 0,
        "run_sha256": "",
        "qrels_sha256": "",  # no judgements: the exact search under "truth" takes their place
        "truth": searches.truth.key,
        "queries": queries.file,
        "similarity": search["similarity"],
    }
    for name in sorted(searches.rows, reverse=True):
        for depth in task.depths:
            shares_Q = shares(searches.rows[name], searches.exact_Qk, depth)
            at_depth = {**same, "k": depth, "measure": f"{name}@{depth}", "value": float(shares_Q.mean())}
            measured.results.append(at_depth)
            measured.per_query.extend(_query_rows(queries, f"{name}@{depth}", shares_Q, min(depth, task.searched.rows)))
    return measured


def _search_facts(queries: HeldOutQueries, task: _Task, truth: str) -> dict[str, Any]:
    return {
        "dataset": queries.dataset,
        "split": queries.split,
        "method": "dense",
        "model": queries.model,
        "vectors": source_name(task.searched),
        "k": max(task.depths),
        "rerank": task.config.search.rerank,
        **task.searched.facts,
        "truth": truth,
    }


def _line(queries: HeldOutQueries, task: _Task, was_kept: bool) -> str:
    rerank = task.config.search.rerank
    return (
        f"{queries.dataset} {queries.split}: {len(queries.ids)} held-out queries, exact neighbours "
        f"among {task.searched.rows} rows of {source_name(task.searched)} "
        f"({'kept from before' if was_kept else 'searched now'})"
        + (f"; the best {rerank} re-scored by exact vectors" if rerank else "")
    )


def _query_rows(
    queries: HeldOutQueries, measure: str, shares_Q: NDArray[np.float64], depth: int
) -> Iterator[dict[str, Any]]:
    for query_id, share in zip(queries.ids, shares_Q.tolist(), strict=True):
        yield {
            "dataset": queries.dataset,
            "split": queries.split,
            "query_id": query_id,
            "measure": measure,
            "value": share,
            "n_relevant": depth,
            "n_retrieved": depth,
        }


def _drop_own(rows_Qk: Rows, ids: list[str], documents: Documents) -> Rows:
    """Rows with the query's own id moved out; what stays keeps its order, the last column goes."""
    kept_Qk = np.full((len(rows_Qk), max(rows_Qk.shape[1] - 1, 0)), -1, np.int64)
    for q, (query_id, rows_k) in enumerate(zip(ids, rows_Qk, strict=True)):
        names = documents.of(rows_k[rows_k >= 0])
        others = [r for r, name in zip(rows_k.tolist(), names, strict=False) if r >= 0 and name != query_id]
        others = others[: kept_Qk.shape[1]]
        kept_Qk[q, : len(others)] = others
    return kept_Qk
