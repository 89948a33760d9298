"""`irctl eval --recall-against exact`: how many of the exact nearest rows a search of codes finds, on held-out queries.

Exact means: over the vectors that the codes were made of. Queries are a collection's, encoded, or vectors of a file.
Dimension key: Q queries, D dimensions, k results.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl import stopping
from irctl.errors import ConfigError, DataError
from irctl.index.rerank import check_depth
from irctl.metrics.vectors.neighbour_recall import shares
from irctl.pipelines.evaluate import exact_neighbours, held_out_queries
from irctl.pipelines.evaluate.held_out_queries import Asked, source_name
from irctl.pipelines.references import bundles
from irctl.pipelines.search import exact_vectors, opened_index, spread
from irctl.pipelines.search.document_ids import Documents
from irctl.pipelines.search.opened_index import Searched
from irctl.pipelines.search.speed import measured
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle

Rows = NDArray[np.int64]

FOUND, CODES = "recall_exact", "recall_codes"
"""Recall of what the search returns; and, where exact vectors re-score its best, of the codes without that."""
DEPTHS = (10, 100)


@dataclass(frozen=True)
class Measured:
    """What an evaluation is made of: means, per-query values, what was searched, and lines for people."""

    results: list[dict[str, Any]]
    per_query: list[dict[str, Any]]
    searches: list[dict[str, Any]]
    lines: list[str]


def measure(
    config: Config,
    run: RunHandle,
    reporter: Reporter,
    *,
    index: str | None,
    model: str | None = None,
    queries: str | None = None,
    fresh: bool = False,
) -> Measured:
    """Recall of the exact nearest rows by the codes of a bundle (default: the newest), for each split asked for.

    queries: a .npy file of query vectors, in place of the collection's. fresh: do not use exact results that were kept.
    Raises ConfigError if the index holds no codes, or if nothing says which queries; DataError if the vectors are gone.
    """
    searched = opened_index.open_index(index if index not in (None, "latest") else _newest(), config)
    if searched.bundle is None:
        raise ConfigError(
            f"{index}: holds vectors, so its search is exact", hint="Name a bundle; irctl compress makes one"
        )
    exact = exact_neighbours.First(exact_vectors.exact_vectors(searched, config), searched.rows)
    assert searched.folder is not None
    run.artifact("in", "bundle", searched.folder, sha256=searched.fingerprint, n_rows=searched.rows, dim=searched.dim)
    task = _Task(searched, exact, _depths(config, searched.rows), config, run, reporter, fresh)
    made = Measured([], [], [], [])
    given = held_out_queries.of_file(Path(queries), searched, config) if queries else None
    for asked in given or held_out_queries.of_collection(searched, config, model, reporter):
        stopping.check("nothing of a measured recall is kept")
        asked = replace(asked, dataset=run.scrub(asked.dataset), split=run.scrub(asked.split))
        reporter.say(f"recall of the exact {', '.join(map(str, task.depths))} nearest, {asked.dataset} {asked.split}")
        _add(made, asked, task)
    return made


@dataclass(frozen=True)
class _Task:
    """What is the same for every set of queries."""

    searched: Searched
    exact: exact_neighbours.First
    depths: list[int]
    config: Config
    run: RunHandle
    reporter: Reporter
    fresh: bool


def _newest() -> str:
    return str(bundles.folder_of("latest"))


def _depths(config: Config, rows: int) -> list[int]:
    """10 and 100, or those below -k and -k itself. Depths that take in every row are left out; such a -k is refused."""
    asked = config.search.k if "search.k" in config.origins else 0
    depths = sorted({*(d for d in DEPTHS if d < asked), asked}) if asked else list(DEPTHS)
    check_depth(config.search.rerank, max(depths))
    telling = [d for d in depths if d < rows]
    if not telling or asked >= rows:
        raise DataError(f"recall of the {asked or min(DEPTHS)} nearest says nothing about an index of {rows} rows")
    return telling


def _found(asked: Asked, task: _Task) -> tuple[dict[str, Rows], Rows, exact_neighbours.Nearest, dict[str, float]]:
    """(rows returned, by the name of their recall; exact rows; where those are from; speed), own rows taken out."""
    searched, config, reporter = task.searched, task.config, task.reporter
    drops = asked.self_match == "drop"
    k, rerank = max(task.depths) + drops, config.search.rerank
    queries_QD = asked.vectors_QD
    truth = exact_neighbours.nearest(
        queries_QD, task.exact, k, searched.metric, reporter, block=config.search.block, fresh=task.fresh
    )
    if asked.collection is None:
        held_out_queries.check_held_out(queries_QD, truth.rows_Qk, task.exact, reporter)
    started = time.perf_counter()
    found = spread.search(searched, queries_QD, max(k, rerank + drops), config, task.run.paths.folder, reporter)
    returned = {CODES if rerank else FOUND: found.rows_Qk}
    if rerank:
        returned[FOUND] = exact_vectors.reranked(searched, queries_QD, found.rows_Qk, k, config)[1]
    speed = measured(searched, queries_QD, k, time.perf_counter() - started, config)
    if not drops:
        return returned, truth.rows_Qk, truth, speed
    documents = Documents(searched, asked.collection, reporter)
    cleaned = {name: _without_own(rows_Qk, asked.ids, documents) for name, rows_Qk in returned.items()}
    return cleaned, _without_own(truth.rows_Qk, asked.ids, documents), truth, speed


def _add(made: Measured, asked: Asked, task: _Task) -> None:
    """Measure one set of queries."""
    returned, exact_Qk, truth, speed = _found(asked, task)
    searched, depths, rerank = task.searched, task.depths, task.config.search.rerank
    search = {
        "dataset": asked.dataset,
        "split": asked.split,
        "method": "dense",
        "model": asked.model,
        "vectors": source_name(searched),
        "k": max(depths),
        "rerank": rerank,
        **searched.facts,
        "truth": truth.key,
    }
    for name, value in speed.items():
        task.run.metric(name, value, dataset=asked.dataset, split=asked.split)
    made.searches.append(search)
    same = {
        "dataset": asked.dataset,
        "split": asked.split,
        "n_queries": len(asked.ids),
        "n_missing": 0,
        "n_unjudged": 0,
        "n_without_relevant": 0,
        "self_match": asked.self_match,
        "n_self_removed": 0,
        "run_sha256": "",
        "qrels_sha256": "",  # no judgements: the exact search under "truth" takes their place
        "truth": truth.key,
        "similarity": search["similarity"],
    }
    for name in sorted(returned, reverse=True):
        for depth in depths:
            shares_Q = shares(returned[name], exact_Qk, depth)
            measured = f"{name}@{depth}"
            made.results.append({**same, "k": depth, "measure": measured, "value": float(shares_Q.mean())})
            made.per_query.extend(_rows(asked, measured, shares_Q, min(depth, searched.rows)))
    whence = "kept from before" if truth.was_kept else "searched now"
    made.lines.append(
        f"{asked.dataset} {asked.split}: {len(asked.ids)} held-out queries, exact neighbours "
        f"among {searched.rows} rows of {search['vectors']} ({whence})"
        + (f"; the best {rerank} re-scored by exact vectors" if rerank else "")
    )


def _rows(asked: Asked, measure: str, shares_Q: NDArray[np.float64], depth: int) -> Iterator[dict[str, Any]]:
    for query_id, share in zip(asked.ids, shares_Q.tolist(), strict=True):
        yield {
            "dataset": asked.dataset,
            "split": asked.split,
            "query_id": query_id,
            "measure": measure,
            "value": share,
            "n_relevant": depth,
            "n_retrieved": depth,
        }


def _without_own(rows_Qk: Rows, ids: list[str], documents: Documents) -> Rows:
    """Rows with the query's own id moved out; what stays keeps its order, the last column goes."""
    kept_Qk = np.full((len(rows_Qk), max(rows_Qk.shape[1] - 1, 0)), -1, np.int64)
    for q, (query_id, rows_k) in enumerate(zip(ids, rows_Qk, strict=True)):
        names = documents.of(rows_k[rows_k >= 0])
        others = [r for r, name in zip(rows_k.tolist(), names, strict=False) if r >= 0 and name != query_id]
        others = others[: kept_Qk.shape[1]]
        kept_Qk[q, : len(others)] = others
    return kept_Qk
