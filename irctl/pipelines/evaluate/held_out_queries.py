"""Held-out queries for an index: those of the collection behind its rows, encoded, or vectors of a file.

Dimension key: Q queries, D dimensions, k results.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irctl import hashing
from irctl.data.collections.dataset_name import dataset_name
from irctl.data.collections.self_match import say_self_match
from irctl.errors import ConfigError, DataError
from irctl.models.transforms.files import hash_vectors
from irctl.pipelines.references.vectors import dataset_of_vectors
from irctl.pipelines.search import opened_index
from irctl.pipelines.search.encoder_pair import check_encoder
from irctl.pipelines.search.opened_index import Searched
from irctl.reports.neighbour_recall import OF_FILE
from irctl.types import Reporter, Stream

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.pipelines.evaluate.request import EvalRequest

_NEAR = 10  # a query that is itself a row is among its own nearest
_SHOWN = 12  # characters of a file's hash
_CHECKED = 256  # queries whose nearest rows are fetched together


@dataclass(frozen=True)
class HeldOutQueries:
    """Held-out queries. self_match: drop where rows with the query's own id must not count. file: what they are of."""

    dataset: str
    split: str
    ids: list[str]
    vectors_QD: NDArray[np.float32]
    model: str = ""
    self_match: str = ""
    collection: Collection | None = None
    file: str = ""  # name and hash; empty for a collection's


def read(searched: Searched, config: Config, request: EvalRequest, reporter: Reporter) -> Iterator[HeldOutQueries]:
    """The vectors of the file that was named, else the queries of the collection behind the rows, split by split."""
    if request.queries:
        return _of_file(Path(request.queries), searched, config.run.dataset, reporter)
    return _of_collection(searched, config, request.model, reporter)


def _of_file(path: Path, searched: Searched, dataset: str, reporter: Reporter) -> Iterator[HeldOutQueries]:
    """The vectors of a .npy file. Raises DataError."""
    from irctl.pipelines.search.query_vectors import read_queries

    raw_QD = read_queries(path, searched.raw_dim)
    ids = list(map(str, range(len(raw_QD))))
    if searched.transform is not None:
        gave_Q = searched.transform.gave_mean(hash_vectors(raw_QD))
        _say_left_out(str(path), gave_Q, searched, reporter)
        raw_QD, ids = raw_QD[~gave_Q], [ids[i] for i in np.flatnonzero(~gave_Q)]
    vectors_QD = searched.of_queries(raw_QD)
    dataset = dataset_of_vectors(dataset, searched.about, source_name(searched))
    yield HeldOutQueries(dataset, OF_FILE, ids, vectors_QD, file=f"{path.name} {hashing.identity(path)[:_SHOWN]}")


def _of_collection(
    searched: Searched, config: Config, model: str | None, reporter: Reporter
) -> Iterator[HeldOutQueries]:
    """The queries of each split asked for of the collection that the rows are the documents of.

    Raises ConfigError where the rows come from no collection.
    """
    from irctl.pipelines.search.query_vectors import (
        encode_queries,
        find_mean_queries,
        open_collection,
        open_encoder,
        take,
    )

    if not (searched.about.get("data") or searched.about.get("corpus") or "data.source" in config.origins):
        raise ConfigError(
            f"{searched.folder}: made from {source_name(searched)}, which has no queries of its own",
            hint="Give held-out query vectors with --queries q.npy",
        )
    collection = open_collection(config, searched)
    splits = config.data.split or collection.card.headline_split
    opened_index.check_corpus(searched, collection)
    encoder, name = open_encoder(config, model, searched)
    check_encoder(searched, encoder, name)
    for split in (collection.split_named(s.strip()) for s in splits.split(",")):
        queries = collection.queries(split)
        gave_Q = find_mean_queries(encoder, queries, config, searched)
        _say_left_out(f"{collection.name} {split}", gave_Q, searched, reporter)
        queries = take(queries, ~gave_Q) if gave_Q.any() else queries
        vectors_QD = encode_queries(encoder, queries, config, searched)
        rule = say_self_match(collection, split, config.eval.self_match, reporter).rule
        dataset = dataset_name(config.run.dataset, collection.name)
        yield HeldOutQueries(dataset, split, list(queries.ids), vectors_QD, name, rule, collection)


def _say_left_out(what: str, gave_Q: NDArray[np.bool_], searched: Searched, reporter: Reporter) -> None:
    """Say how many queries do not count because they gave the transform its query mean. DataError if all did."""
    message = f"{what}: {gave_Q.sum()} of {len(gave_Q)} queries gave {searched.facts.get('transform')} its query mean"
    if len(gave_Q) and gave_Q.all():
        raise DataError(message, hint="Measure with other queries")
    if gave_Q.any():
        reporter.say(f"{message}: left out")


def source_name(searched: Searched) -> str:
    """What the rows of a bundle were made of, by the name it was given."""
    return str(searched.about.get("source", {}).get("name", "")) or str(searched.folder)


def check_held_out(
    queries_QD: NDArray[np.float32], exact_Qk: NDArray[np.int64], stream: Stream, reporter: Reporter
) -> None:
    """DataError if most queries are rows of the index, which find themselves; a warning if some are."""
    own = 0
    for start in range(0, len(queries_QD), _CHECKED):
        near_qk = exact_Qk[start : start + _CHECKED, :_NEAR]
        rows_n = np.unique(near_qk[near_qk >= 0])
        vectors_nD = stream.take(rows_n)
        for query_D, rows_k in zip(queries_QD[start : start + _CHECKED], near_qk, strict=True):
            own += bool((vectors_nD[np.searchsorted(rows_n, rows_k[rows_k >= 0])] == query_D).all(axis=1).any())
    message = f"--queries: {own} of {len(queries_QD)} query vectors are rows of the index, so they find themselves"
    if 2 * own > len(queries_QD):
        raise DataError(message, hint="Use vectors that were held out")
    if own:
        reporter.warn(message)
