"""What a front is measured on: vectors of an index as they were encoded, and the queries of its collection beside them.

Dimension key: Q queries, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irctl.data.collections.open import open_for
from irctl.errors import ConfigError, DataError
from irctl.models import known_encoder
from irctl.models.known_encoder import KnownEncoder
from irctl.pipelines.references import training_queries, vectors
from irctl.pipelines.references.training_queries import SPLIT
from irctl.pipelines.search import opened_index, query_vectors
from irctl.pipelines.search.encoder_pair import check_encoder
from irctl.pipelines.search.opened import Opened as Encoded
from irctl.pipelines.search.opened_index import Searched
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.evaluate.request import EvalRequest
    from irctl.pipelines.evaluate.targets import Target


@dataclass(frozen=True)
class FrontSource:
    """searched: the rows as encoded. encoder: of their queries. model: its name."""

    searched: Searched
    encoder: Any
    model: str


def find_index(request: EvalRequest, config: Config) -> str:
    """The vectors named, else the newest encoded corpus that fits the settings; empty: a corpus has to be encoded.

    Raises DataError where the newest is asked for and there is none.
    """
    if request.index not in (None, "latest"):
        return str(request.index)
    record = vectors.newest_named(config) if request.model is None else None
    if record is None and request.index is not None:
        raise DataError("--index latest: no encoded corpus here", hint="irctl encode makes one")
    return record.id if record is not None else ""


def open_rows(index: str, config: Config, run: RunHandle, reporter: Reporter, model: str | None) -> Searched:
    """The rows of an index, or the collection encoded now, not transformed.

    Raises ConfigError for codes, which were made of rows in one form alone.
    """
    if not index:
        return Encoded(model).encoded(open_for(config), config, run, reporter)
    searched = opened_index.open_index(index, config, fits=False)
    if searched.bundle is not None:
        raise ConfigError(
            f"--transforms: {index} holds codes, which keep one transform",
            hint="Name the vectors they were made of; irctl runs ls --command encode lists some",
        )
    return searched


def open_encoder(
    searched: Searched, targets: list[Target], config: Config, model: str | None, *, own: bool
) -> FrontSource:
    """The encoder of the queries: known by its keys where the cache holds all that is needed, else opened.

    own: training queries are needed too. DataError where the rows are not the documents of a target's collection.
    """
    for target in targets:
        assert target.collection is not None
        opened_index.check_corpus(searched, target.collection)
    known = known_encoder.of_vectors(searched.about, searched.raw_dim, config) if model is None else None
    if known is not None and all(_has(known, target, config, own) for target in targets):
        return FrontSource(searched, known, str(searched.about["model"]))
    encoder, name = query_vectors.open_encoder(config, model, searched)
    check_encoder(searched, encoder, name)
    return FrontSource(searched, encoder, name)


def _has(known: KnownEncoder, target: Target, config: Config, own: bool) -> bool:
    collection: Any = target.collection
    queries = collection.queries(target.split)
    if not known.has(queries.ids, queries.texts, config):
        return False
    if not own or config.transform.queries or SPLIT not in collection.splits():
        return True
    ids, texts = training_queries.drawn_of(collection)
    return known.has(ids, texts, config)


def read_training_queries(
    opened: FrontSource, collection: Collection, config: Config
) -> training_queries.TrainingQueries | None:
    """Those that give the mean of the query side; None where there are none."""
    if config.transform.queries:
        from pathlib import Path

        return training_queries.of_file(Path(config.transform.queries), opened.searched.raw_dim)
    return training_queries.of_collection(opened.encoder, collection, config)
