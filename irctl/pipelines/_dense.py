"""Candidates for mining from vectors or codes, and a cross-encoder's second opinion.

Dimension key: Q queries, N documents, D vector width, k candidates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl.errors import ConfigError, DataError
from irctl.index.scoring import similarity
from irctl.pipelines.hardneg import Ranked, Ranker
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collection import Collection, Queries
    from irctl.ledger.recording import RunHandle

RESCORE_BATCH = 32


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
    from irctl.models.embedding import embed_queries
    from irctl.models.encoder import load_encoder
    from irctl.pipelines import _search_spread, _searched, _vectors
    from irctl.pipelines.encode import embedded

    encoder = load_encoder(config)
    vectors, _ = embedded(encoder, collection.corpus, config, run, reporter, out=out)
    queries_QD = embed_queries(encoder, queries.ids, queries.texts, config)
    searched = _searched.of_vectors(_vectors.of_folder(vectors.folder, str(vectors.folder)), config)
    most = min(config.hardneg.depth + left_out, vectors.rows)
    found = _search_spread.search(searched, queries_QD, most, config, run.paths.folder, reporter)
    ranked = _lists(found.scores_Qk, found.rows_Qk, collection)

    def score(row: int, documents: list[str]) -> list[float]:
        rows_N = np.array([collection.corpus.row(d) for d in documents], dtype=np.int64)
        return [float(s) for s in similarity(queries_QD[row : row + 1], vectors.take(rows_N), searched.metric)[0]]

    made_by = {"retriever": "dense", "model": config.model.name, "model_fingerprint": encoder.fingerprint("passage")}
    return Ranker(lambda row, k: ranked[row][:k], score, {**made_by, "embeddings": vectors.fingerprint})


def index_ranker(index: str, queries: Queries, config: Config, reporter: Reporter, left_out: int) -> Ranker:
    """Candidates from the codes of a bundle. left_out: as for dense_ranker."""
    from irctl.pipelines.search import search_index

    scores_Qk, ids, about = search_index(index, queries, config, reporter, k=config.hardneg.depth + left_out)
    ranked = [list(zip(i, map(float, s), strict=True)) for i, s in zip(ids, scores_Qk, strict=True)]
    return Ranker(lambda row, k: ranked[row][:k], None, {"retriever": "index", **about})


def rescored(base: Ranker, collection: Collection, queries: Queries, config: Config, reporter: Reporter) -> Ranker:
    """The candidates of another ranker, scored and ordered by a cross-encoder.

    Raises DataError if it is not here and the hub cannot be asked, ConfigError if it gives no single score.
    """
    from sentence_transformers import CrossEncoder

    name = config.hardneg.rescore
    try:
        model = CrossEncoder(name, trust_remote_code=config.model.trust_remote_code)
    except OSError as e:
        raise DataError(f"hardneg.rescore: no cross-encoder '{name}': {str(e).splitlines()[0]}") from e
    if (labels := int(model.config.num_labels)) != 1:
        raise ConfigError(
            f"hardneg.rescore={name}: gives {labels} scores a pair; expected 1, the relevance",
            hint="Use a cross-encoder of one label, trained to rank",
        )

    def score(row: int, documents: list[str]) -> list[float]:
        texts = collection.corpus.texts([collection.corpus.row(d) for d in documents])
        pairs = [(queries.texts[row], t) for t in texts]
        return [float(s) for s in model.predict(pairs, batch_size=RESCORE_BATCH, show_progress_bar=False)]

    def ranked(row: int, k: int) -> Ranked:
        documents = [d for d, _ in base.ranked(row, k)]
        scored = zip(documents, score(row, documents), strict=True) if documents else iter(())
        return sorted(scored, key=lambda x: (x[1], x[0]), reverse=True)

    return Ranker(ranked, score, {**base.provenance, "rescored_by": name})


def _lists(scores_Qk: NDArray[np.float32], rows_Qk: NDArray[np.int64], collection: Collection) -> list[Ranked]:
    ids: Any = collection.corpus.ids
    return [
        [(ids[int(r)], float(s)) for r, s in zip(rows, scores, strict=True) if r >= 0]
        for rows, scores in zip(rows_Qk, scores_Qk, strict=True)
    ]
