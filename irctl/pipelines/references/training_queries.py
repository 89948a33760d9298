"""The training queries whose mean a transform takes for its query side: of a file, or of the split train.

No query of another split is read, so that dev and test measure what they never gave anything to.
Dimension key: Q queries, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl import files, hashing
from irctl.data import draws
from irctl.data.vectors.npy import NpyPart
from irctl.errors import DataError
from irctl.models import pair
from irctl.models.transforms.files import SHOWN, hash_texts, hash_vectors
from irctl.origins import derived

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.pipelines.references.vectors import Input

SPLIT = "train"
MOST = 20_000
"""Queries that give a mean, at most: each of its values is then known to a hundredth of their spread, and half a
million queries of MS MARCO need not be encoded."""

Read = Callable[[], tuple[NDArray[np.float32], NDArray[np.uint64]]]
"""() -> (vectors [Q, D], hashes of the queries: `hash_texts` where they have texts, and `hash_vectors`)."""


@dataclass(frozen=True)
class TrainingQueries:
    """key: hash of what they are, known before they are read. words: for the user."""

    key: str
    words: str
    read: Read


def of_file(path: Path, dim: int) -> TrainingQueries:
    """The vectors of a .npy file. DataError where there are none, or of another width."""
    files.is_input(path)
    part = NpyPart(path)
    if not part.rows or part.dim != dim:
        raise DataError(f"transform.queries: {path}: expected query vectors (rows, {dim}), found {part.rows, part.dim}")

    def read() -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
        rows_Q, vectors_QD = np.arange(part.rows), np.empty((part.rows, part.dim), np.float32)
        part.take(rows_Q, vectors_QD, rows_Q)
        return vectors_QD, hash_vectors(vectors_QD)

    identity = hashing.identity(path)
    return TrainingQueries(identity, f"{part.rows} queries of {path.name} {identity[:SHOWN]}", read)


def identity_of(path: Path) -> str:
    """Hash of the file transform.queries. Raises DataError where it is no array."""
    NpyPart(path)
    return hashing.identity(path)


def of_collection(encoder: Any, collection: Collection, config: Config) -> TrainingQueries | None:
    """The judged queries of the collection's split train, encoded; None where it has none."""
    from irctl.models.embed import TextList, collect_key_parts, embed_queries
    from irctl.models.fingerprints import fingerprint_of

    if SPLIT not in collection.splits() or not len(collection.queries(SPLIT)):
        return None
    ids, texts = drawn_of(collection)
    key = fingerprint_of(collect_key_parts(encoder, TextList(ids, texts), config.encoder.store, "query"))

    def read() -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
        vectors_QD = embed_queries(encoder, ids, texts, config.encoder)
        return vectors_QD, np.concatenate([hash_texts(texts), hash_vectors(vectors_QD)])

    return TrainingQueries(key, f"{len(ids)} queries of {collection.name} {SPLIT}", read)


def drawn_of(collection: Collection) -> tuple[list[str], list[str]]:
    """(ids, texts) of the collection's training queries, at most `MOST` of them."""
    queries = collection.queries(SPLIT)
    ids, texts = list(queries.ids), list(queries.texts)
    if len(ids) > MOST:
        drawn = np.sort(draws.generator(0, "query mean", len(ids)).permutation(len(ids))[:MOST]).tolist()
        ids, texts = [ids[i] for i in drawn], [texts[i] for i in drawn]
    return ids, texts


def of_vectors(given: Input, config: Config) -> TrainingQueries | None:
    """Those of the collection whose documents the vectors are, by their own encoder; None where they have no texts.

    DataError where the collection or the encoder that is named does not belong to them.
    """
    known = given.about.get("encoder")
    if not known:
        return None
    from irctl.data.collections.open import open_for
    from irctl.models.encoder import load_encoder

    is_named = "data.source" in config.origins
    if not is_named and given.about.get("data"):
        config = config.replace({"data.source": given.about["data"]}, derived("the vectors"))
    collection = open_for(config)
    if given.about.get("corpus") != collection.corpus.fingerprint:
        if is_named or given.about.get("data"):
            raise DataError(
                f"{given.name}: are not the documents of {collection.name}, whose training queries would give a mean",
                hint="Name their collection with --set data.source=NAME, or leave it out",
            )
        return None
    name = config.model.name if "model.name" in config.origins else str(given.about.get("model") or config.model.name)
    reading = {k: v for k, v in (given.about.get("reading") or {}).items() if k not in config.origins}
    config = config.replace(reading, derived("the vectors")) if reading else config
    encoder = load_encoder(config, None if name == config.model.name else name).freeze()
    if difference := pair.differs(known, pair.documents_of(encoder).get("encoder") or encoder.key("passage")):
        raise DataError(
            f"{given.name}: its rows were encoded by another model than {name} (its {difference} differ)",
            hint="Name it with --set model.name=NAME, for the training queries",
        )
    return of_collection(encoder, collection, config)
