"""Candidates for mining from vectors or codes.

Dimension key: Q queries, N documents, D vector width, k candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl.index.scoring import score_rows
from irctl.pipelines.hardneg.rankers import Ranked, Ranker
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.hardneg.judged_split import MiningSplit


def rank_by_encoder(
    split: MiningSplit, config: Config, run: RunHandle, reporter: Reporter, out: str | None = None
) -> Ranker:
    """Candidates by an encoder, exhaustively, encoded and scanned on every device.

    As many more are ranked as any query leaves out. out: not the cache, but this folder; vectors there must stay while
    the ranker is used.
    """
    from irctl.models.encoder import load_encoder
    from irctl.origins import derived
    from irctl.pipelines.encode import EncodeRequest, encode_rows
    from irctl.pipelines.references import transforms
    from irctl.pipelines.references.document_encoder import document_encoder
    from irctl.pipelines.search import opened_index, spread
    from irctl.pipelines.search.query_vectors import encode_queries

    collection, queries = split.collection, split.queries
    reporter.say(f"loading model {config.model.name}")
    encoder = load_encoder(config).freeze()
    of_documents, name = document_encoder(encoder, config.model.name, config)
    named = config.replace({"model.name": name}, derived("the documents' encoder"))
    vectors, _ = encode_rows(of_documents, collection.corpus, named, run, reporter, EncodeRequest(out=out))
    given = transforms.of_encoded(vectors.folder, encoder, collection, config, reporter)
    searched = opened_index.of_vectors(given, config.search)
    queries_QD = encode_queries(encoder, queries, config, searched)
    most = min(config.hardneg.depth + split.left_out.most(), vectors.rows)
    best, _ = spread.search(searched, queries_QD, most, config, run.paths.folder, reporter)
    ids: Any = collection.corpus.ids

    def documents_of(rows_k: NDArray[np.int64]) -> list[str]:
        return [ids[int(r)] for r in rows_k]

    def score(row: int, documents: list[str]) -> list[float]:
        rows_N = np.array([collection.corpus.row(d) for d in documents], dtype=np.int64)
        return [float(s) for s in score_rows(queries_QD[row : row + 1], given.stream.take(rows_N), searched.metric)[0]]

    made_by = {"retriever": "dense", "model": config.model.name, "model_fingerprint": encoder.fingerprint("passage")}
    made_by |= {"transform": str(searched.facts["transform"])} if searched.transform is not None else {}
    ranked = _ranked(best.scores_Qk, best.rows_Qk, documents_of)
    return Ranker(ranked, score, {**made_by, "embeddings": vectors.fingerprint}, is_searched=True)


def rank_by_index(index: str, split: MiningSplit, config: Config, run: RunHandle, reporter: Reporter) -> Ranker:
    """Candidates from the codes of a bundle, or from vectors; recorded as what the run stands on."""
    from irctl.pipelines.search.rank import search_rows

    k = config.hardneg.depth + split.left_out.most()
    best, documents, searched, about = search_rows(index, split.queries, config, reporter, k=k)
    if searched.folder is not None:
        kind = "bundle" if searched.bundle is not None else "embeddings"
        run.artifact("in", kind, searched.folder, sha256=searched.fingerprint, n_rows=searched.rows, dim=searched.dim)
    ranked = _ranked(best.scores_Qk, best.rows_Qk, documents.of)
    return Ranker(ranked, None, {"retriever": "index", **about}, is_searched=True)


def _ranked(
    scores_Qk: NDArray[np.float32], rows_Qk: NDArray[np.int64], documents_of: Callable[[NDArray[np.int64]], list[str]]
) -> Callable[[int, int], Ranked]:
    """A Ranker's `ranked`: ids are looked up for one query at a time. A row of -1 is no document."""

    def ranked(row: int, k: int) -> Ranked:
        real_k = rows_Qk[row, :k] >= 0
        documents = documents_of(rows_Qk[row, :k][real_k])
        return list(zip(documents, map(float, scores_Qk[row, :k][real_k]), strict=True))

    return ranked
