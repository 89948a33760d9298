"""Candidates for mining from vectors or codes.

Dimension key: Q queries, N documents, D vector width, k candidates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl.index.scoring import score_rows
from irctl.pipelines.hardneg.rankers import Ranked, Ranker
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection, Queries
    from irctl.ledger.recording import RunHandle


def dense_ranker(
    collection: Collection,
    queries: Queries,
    config: Config,
    run: RunHandle,
    reporter: Reporter,
    left_out: int,
    out: str | None = None,
) -> Ranker:
    """Candidates by an encoder, exhaustively, encoded and scanned on every device.

    left_out: documents of a query that are never mined, at most; so many more are ranked. out: not the cache, but
    this folder; vectors there must stay while the ranker is used.
    """
    from irctl.models.embed import embed_queries
    from irctl.models.encoder import load_encoder
    from irctl.pipelines.encode import embedded
    from irctl.pipelines.references.vectors import of_folder
    from irctl.pipelines.search import opened_index, spread

    encoder = load_encoder(config).freeze()
    vectors, _ = embedded(encoder, collection.corpus, config, run, reporter, out=out)
    queries_QD = embed_queries(encoder, queries.ids, queries.texts, config.encoder)
    searched = opened_index.of_vectors(of_folder(vectors.folder, str(vectors.folder)), config.search)
    most = min(config.hardneg.depth + left_out, vectors.rows)
    found = spread.search(searched, queries_QD, most, config, run.paths.folder, reporter)
    ranked = _lists(found.scores_Qk, found.rows_Qk, collection)

    def score(row: int, documents: list[str]) -> list[float]:
        rows_N = np.array([collection.corpus.row(d) for d in documents], dtype=np.int64)
        return [float(s) for s in score_rows(queries_QD[row : row + 1], vectors.take(rows_N), searched.metric)[0]]

    made_by = {"retriever": "dense", "model": config.model.name, "model_fingerprint": encoder.fingerprint("passage")}
    return Ranker(lambda row, k: ranked[row][:k], score, {**made_by, "embeddings": vectors.fingerprint})


def index_ranker(index: str, queries: Queries, config: Config, reporter: Reporter, left_out: int) -> Ranker:
    """Candidates from the codes of a bundle. left_out: as for dense_ranker."""
    from irctl.pipelines.search.rank import search_index

    scores_Qk, ids, about = search_index(index, queries, config, reporter, k=config.hardneg.depth + left_out)
    ranked = [list(zip(i, map(float, s), strict=True)) for i, s in zip(ids, scores_Qk, strict=True)]
    return Ranker(lambda row, k: ranked[row][:k], None, {"retriever": "index", **about})


def _lists(scores_Qk: NDArray[np.float32], rows_Qk: NDArray[np.int64], collection: Collection) -> list[Ranked]:
    ids: Any = collection.corpus.ids
    return [
        [(ids[int(r)], float(s)) for r, s in zip(rows, scores, strict=True) if r >= 0]
        for rows, scores in zip(rows_Qk, scores_Qk, strict=True)
    ]
