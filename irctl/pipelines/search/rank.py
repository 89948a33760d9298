"""The k nearest rows of an opened index for each query.

Dimension key: Q queries, k results.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl import paths
from irctl.pipelines.search import exact_vectors, opened_index, spread
from irctl.pipelines.search.document_ids import Documents
from irctl.pipelines.search.encoder_pair import check_encoder
from irctl.pipelines.search.opened_index import Searched
from irctl.pipelines.search.query_vectors import encode_queries, open_collection, open_encoder
from irctl.pipelines.search.speed import measure_speed
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Queries


@dataclass(frozen=True)
class Ranking:
    """Result of a search. scores, rows [Q, k']; row -1 is no result."""

    scores_Qk: NDArray[np.float32]
    rows_Qk: NDArray[np.int64]
    boundary_ties: int
    speed: Mapping[str, float]


def rank(
    searched: Searched, queries_QD: NDArray[np.float32], k: int, config: Config, place: Path, reporter: Reporter
) -> Ranking:
    """The k best rows of each query, re-scored where asked. place: folder for the logs of several processes."""
    depth, started = max(k, config.search.rerank), time.perf_counter()
    best, threads = spread.search(searched, queries_QD, depth, config, place, reporter)
    ranked = (best.scores_Qk, best.rows_Qk, best.boundary_ties)
    if config.search.rerank:
        ranked = exact_vectors.rescore(searched, queries_QD, best.rows_Qk, k, config)
    seconds = time.perf_counter() - started
    return Ranking(*ranked, measure_speed(searched, queries_QD, k, seconds, threads, config))


def to_lists(found: Ranking, documents: Documents) -> Any:
    """(scores, document ids) of one query after the other."""
    for scores_k, rows_k in zip(found.scores_Qk, found.rows_Qk, strict=True):
        real_k = rows_k >= 0
        yield scores_k[real_k].tolist(), documents.of(rows_k[real_k])


def search_rows(
    index: str, queries: Queries, config: Config, reporter: Reporter, *, k: int, place: Path | None = None
) -> tuple[Ranking, Documents, Searched, dict[str, Any]]:
    """(the k best rows of each query, their documents, what was searched, facts). In arrays: half a million queries
    have 100 million results.

    place: folder for the logs of several processes; default: the cache.
    """
    searched = opened_index.open_index(index, config, reporter)
    encoder, name = open_encoder(config, None, searched, reporter)
    check_encoder(searched, encoder, name)
    collection = open_collection(config, searched)
    opened_index.check_corpus(searched, collection)
    queries_QD = encode_queries(encoder, queries, config, searched)
    ranking = rank(searched, queries_QD, k, config, place or paths.cache() / "search", reporter)
    about = {"model": name, "model_fingerprint": encoder.fingerprint("passage"), "index": searched.fingerprint}
    return ranking, Documents(searched, collection, reporter), searched, {**about, **searched.facts}
