"""The vectors whose isotropy is measured, of one data set and split: documents and queries, as they are searched.

Rows that the model was fitted on are left out. Vectors come from the cache, where the search has put them.
Dimension key: N rows, D dimensions, Q queries, P judged pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl.errors import ConfigError, DataError
from irctl.index.plan import draw
from irctl.metrics.vectors import held_out
from irctl.models import fitted_rows
from irctl.models.transforms.files import hash_texts
from irctl.pipelines.evaluate import isotropy
from irctl.pipelines.search import query_vectors
from irctl.pipelines.search.document_ids import Documents
from irctl.settings import Transform
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.data.collections.collection import Collection, Queries
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.evaluate.targets import RankingSource, Target
    from irctl.pipelines.search.opened import Opened
    from irctl.pipelines.search.opened_index import Searched

LEAST_QUERIES = 30
"""Queries that must be left where some that the model was fitted on are left out."""


def measure(target: Target, opened: Opened, run: RunHandle, reporter: Reporter) -> list[dict[str, Any]]:
    """A row of results for each population, or {population, refused}: why there is none.

    Raises DataError where nothing can be measured.
    """
    config, collection = target.config, target.collection
    assert collection is not None
    encoder, name = opened.encoder(config)
    searched = opened.index(config) or opened.encoded(collection, config, run, reporter)
    refuse_codes(searched)
    rows: list[dict[str, Any]] = []
    works: dict[str, Callable[[], dict[str, Any]]] = {
        isotropy.CORPUS: lambda: _measure_documents(searched, collection, encoder, name, config.run.seed, reporter),
        isotropy.QUERIES: lambda: _measure_queries(target, searched, collection, encoder, name, reporter),
    }
    for population, work in works.items():
        try:
            rows.append(work())
        except DataError as e:
            rows.append({"population": population, "refused": str(e)})
            reporter.warn(f"isotropy of {target.dataset}, {population}: {e}")
            last = e
    if all("refused" in row for row in rows):
        raise last
    return rows


def check(source: RankingSource, open_index: Callable[[str], Searched | None]) -> None:
    """ConfigError, before anything is searched, for what is no vectors: a run file, or codes."""
    if source.files:
        raise ConfigError(
            f"--isotropy: is of vectors, and {source.files[0]} is a ranking", hint="Name --model or --index"
        )
    if source.index:
        refuse_codes(open_index(source.index))


def refuse_codes(searched: Searched | None) -> None:
    """ConfigError for a bundle: rows decoded from codes are made of what was fitted on those rows."""
    if searched is not None and searched.bundle is not None:
        raise ConfigError(
            f"--isotropy: {searched.folder} holds codes, whose decoded rows are made of what was fitted on them",
            hint="Measure the vectors: --index FOLDER of vectors, or --model",
        )


def take_sample(searched: Searched, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(vectors as their encoder made them [N, D], their rows): all of them, or isotropy.MOST drawn ones."""
    assert searched.stream is not None
    raw = getattr(searched.stream, "raw", searched.stream)
    rows_N = draw(raw.rows, min(raw.rows, isotropy.MOST), seed)
    return raw.take(rows_N), rows_N


def settings_of(searched: Searched) -> Transform | None:
    """The settings of the transform that the rows go through; None without one."""
    return None if searched.transform is None else Transform(**searched.transform.transform.settings)  # type: ignore[arg-type]


def _measure_documents(
    searched: Searched, collection: Collection, encoder: Any, name: str, seed: int, reporter: Reporter
) -> dict[str, Any]:
    documents = open_documents(searched, collection, encoder, name, seed, reporter)
    return documents.measure(settings_of(searched), searched.metric)


def open_documents(
    searched: Searched, collection: Collection, encoder: Any, name: str, seed: int, reporter: Reporter
) -> isotropy.MeasuredDocuments:
    """The documents' vectors as encoded, to be measured. DataError where few are left, or a transform is in them."""
    # whatever fitted_rows says: it may come from a head before the transform, whose own documents nothing names
    if (own := encoder.about.get(fitted_rows.TRANSFORM)) is not None:
        raise DataError(
            f"{name} has the transform {own['label']} in it, fitted on documents that are not known",
            hint=f"Measure the model before it with --set transform.name={own['label'].split()[0]}",
        )
    x_ND, rows_N = take_sample(searched, seed)
    hashes_N = hash_texts(_texts_of(rows_N, searched, collection, reporter))
    left_N = _left(encoder, name, hashes_N, held_out.LEAST)
    out = int((~left_N).sum())
    return isotropy.MeasuredDocuments(x_ND[left_N], hashes_N[left_N], rows=searched.rows, left_out=out, seed=seed)


def _texts_of(rows_N: NDArray[np.int64], searched: Searched, collection: Collection, reporter: Reporter) -> list[str]:
    """The documents that rows of vectors are of. DataError where some are none of the collection."""
    found_N = collection.corpus.find(Documents(searched, collection, reporter).of(rows_N))
    if unknown := int((found_N < 0).sum()):
        raise DataError(
            f"{searched.folder}: {unknown} of {len(rows_N)} rows are no documents of {collection.name}",
            hint="Name their collection with --data",
        )
    return collection.corpus.texts(found_N)


def _measure_queries(
    target: Target, searched: Searched, collection: Collection, encoder: Any, name: str, reporter: Reporter
) -> dict[str, Any]:
    asked = collection.queries(target.split)
    gave_Q = query_vectors.find_mean_queries(encoder, asked, target.config, searched)
    return measure_asked(target, query_vectors.take(asked, ~gave_Q), searched, encoder, name, reporter)


def measure_asked(
    target: Target, asked: Queries, searched: Searched, encoder: Any, name: str, reporter: Reporter
) -> dict[str, Any]:
    """A row of results of these queries, of which none gave a transform its mean. DataError where few are left."""
    config, seed, collection = target.config, target.config.run.seed, target.collection
    assert collection is not None
    left_Q = _left(encoder, name, hash_texts(asked.texts), LEAST_QUERIES)
    asked = query_vectors.take(asked, left_Q)
    x_QD = query_vectors.encode_queries(encoder, asked, config, searched)
    is_fitted = searched.transform is not None or fitted_rows.TRANSFORM in encoder.about
    fitted = fitted_rows.load(encoder.located.folder)
    reference = None if is_fitted else _reference(searched, collection, fitted, seed, reporter)
    judged = _judged_pairs(target, asked, x_QD, searched, collection, fitted, reporter)
    return isotropy.of_queries(
        x_QD,
        searched.metric,
        left_out=int((~left_Q).sum()),
        seed=seed,
        reference=reference,
        judged=judged,
        are_documents_fitted=is_fitted,
    )


def _reference(
    searched: Searched, collection: Collection, fitted: NDArray[np.uint64], seed: int, reporter: Reporter
) -> NDArray[np.float32] | None:
    """Documents that the model was not fitted on; None where too few are left."""
    x_ND, rows_N = take_sample(searched, seed)
    if len(fitted):
        x_ND = x_ND[~np.isin(hash_texts(_texts_of(rows_N, searched, collection, reporter)), fitted)]
        if len(x_ND) < held_out.LEAST:
            return None
    return x_ND


def _judged_pairs(
    target: Target,
    asked: Queries,
    x_QD: NDArray[np.float32],
    searched: Searched,
    collection: Collection,
    fitted: NDArray[np.uint64],
    reporter: Reporter,
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """(queries, documents) [P, D] of the pairs that are judged relevant, as they are compared; None where none is.

    fitted: hashes of documents that do not count, for the model was fitted on them.
    """
    wanted = [
        (q, document)
        for q, query_id in enumerate(asked.ids)
        for document, grade in target.qrels.get(query_id, {}).items()
        if grade > 0
    ]
    row_of = Documents(searched, collection, reporter).rows({document for _, document in wanted})
    pairs = [(q, row_of[document]) for q, document in wanted if document in row_of]
    if not pairs:
        return None
    queries_P, rows_P = np.array(pairs, np.int64).T
    assert searched.stream is not None
    if len(fitted):
        left_P = ~np.isin(hash_texts(_texts_of(rows_P, searched, collection, reporter)), fitted)
        queries_P, rows_P = queries_P[left_P], rows_P[left_P]
        if not len(rows_P):
            return None
    rows_U, place_P = np.unique(rows_P, return_inverse=True)
    return x_QD[queries_P], searched.stream.take(rows_U)[place_P]


def _left(encoder: Any, name: str, hashes_N: NDArray[np.uint64], least: int) -> NDArray[np.bool_]:
    """Which of the texts the model was not fitted on. DataError where too few are left."""
    return held_out.left(hashes_N, fitted_rows.load(encoder.located.folder), name, least)
