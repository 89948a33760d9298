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
    from irctl.data.collections.collection import Collection
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.hardneg.judged_split import MiningSplit


def rank_by_encoder(
    split: MiningSplit, config: Config, run: RunHandle, reporter: Reporter, out: str | None = None
) -> Ranker:
    """Candidates by an encoder, exhaustively, encoded and scanned on every device.

    As many more are ranked as any query leaves out. out: not the cache, but this folder; vectors there must stay while
    the ranker is used.
    """
    from irctl.models.embed import embed_queries
    from irctl.models.encoder import load_encoder
    from irctl.pipelines.encode import EncodeRequest, encode_rows
    from irctl.pipelines.references.vectors import of_folder
    from irctl.pipelines.search import opened_index, spread

    collection, queries = split.collection, split.queries
    encoder = load_encoder(config).freeze()
    vectors, _ = encode_rows(encoder, collection.corpus, config, run, reporter, EncodeRequest(out=out))
    queries_QD = embed_queries(encoder, queries.ids, queries.texts, config.encoder)
    searched = opened_index.of_vectors(of_folder(vectors.folder, str(vectors.folder)), config.search)
    most = min(config.hardneg.depth + split.left_out.most(), vectors.rows)
    best = spread.search(searched, queries_QD, most, config, run.paths.folder, reporter)
    ranked = _list_documents(best.scores_Qk, best.rows_Qk, collection)

    def score(row: int, documents: list[str]) -> list[float]:
        rows_N = np.array([collection.corpus.row(d) for d in documents], dtype=np.int64)
        return [float(s) for s in score_rows(queries_QD[row : row + 1], vectors.take(rows_N), searched.metric)[0]]

    made_by = {"retriever": "dense", "model": config.model.name, "model_fingerprint": encoder.fingerprint("passage")}
    return Ranker(lambda row, k: ranked[row][:k], score, {**made_by, "embeddings": vectors.fingerprint})


def rank_by_index(index: str, split: MiningSplit, config: Config, reporter: Reporter) -> Ranker:
    """Candidates from the codes of a bundle."""
    from irctl.pipelines.search.rank import search_index

    k = config.hardneg.depth + split.left_out.most()
    scores_Qk, ids, about = search_index(index, split.queries, config, reporter, k=k)
    ranked = [list(zip(i, map(float, s), strict=True)) for i, s in zip(ids, scores_Qk, strict=True)]
    return Ranker(lambda row, k: ranked[row][:k], None, {"retriever": "index", **about})


def _list_documents(scores_Qk: NDArray[np.float32], rows_Qk: NDArray[np.int64], collection: Collection) -> list[Ranked]:
    ids: Any = collection.corpus.ids
    return [
        [(ids[int(r)], float(s)) for r, s in zip(rows, scores, strict=True) if r >= 0]
        for rows, scores in zip(rows_Qk, scores_Qk, strict=True)
    ]
