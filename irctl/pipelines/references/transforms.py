"""Which transform vectors get: that of the settings, fitted once, or the one that a bundle, folder or run has already.

Here alone it is decided, for documents and queries alike: streams come out transformed, and what searches them takes
its queries through `FittedTransform.transform.queries`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl import stopping
from irctl.data.files import made_once
from irctl.errors import DataError
from irctl.hashing import marked
from irctl.index.scoring import METRIC
from irctl.models.transforms import affine
from irctl.models.transforms import files as transform_files
from irctl.models.transforms.affine import Statistics
from irctl.models.transforms.files import FILE, FittedTransform
from irctl.models.transforms.stream import TransformedStream
from irctl.pipelines.references import bundles, compared_by, kept_transforms, training_queries
from irctl.pipelines.references.training_queries import TrainingQueries
from irctl.settings import Transform as Settings
from irctl.types import Reporter, Stream

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.pipelines.references.vectors import Input

VERSION = 1
"""Of the arithmetic of fitting: part of every key."""
BLOCK = 10_000  # rows read at once

FindQueries = Callable[[], TrainingQueries | None]


def describe(config: Config) -> dict[str, str]:
    """What a dry run says: {transform: its label}; empty where none is asked for. Raises what `check` does."""
    kept_transforms.check(config.transform, config)
    settings = config.transform
    if settings.name == "none":
        return {}
    queries = training_queries.identity_of(Path(settings.queries)) if settings.queries else ""
    return {"transform": transform_files.label(affine.label(affine.describe(settings)), queries)}


def apply(
    given: Input,
    config: Config,
    metric: str,
    reporter: Reporter,
    *,
    find_queries: FindQueries | None = None,
    kept: Path | None = None,
) -> Input:
    """The input as the settings say, else as what was saved with it says, else as it is.

    metric: ip, l2 or cosine, by which the vectors will be compared. find_queries: training queries; default: those of
    the collection behind the vectors. kept: folder where an earlier step of the same work may have left the transform.
    """
    if not kept_transforms.is_asked(config):
        if given.saved_transform is None:
            return given
        fitted = transform_files.load(given.saved_transform)
        reporter.say(f"{given.name}: {fitted.label}, as it was saved with these vectors")
        return with_transform(given, fitted)
    kept_transforms.check(config.transform, config)
    if config.transform.name == "none":
        return given
    queries = _find(given, config, find_queries)
    return with_transform(given, fit(given.stream, config.transform, metric, queries, reporter, kept=kept))


def of_encoded(folder: Path, encoder: Any, collection: Collection, config: Config, reporter: Reporter) -> Input:
    """The corpus of a collection as this encoder made it, in a folder of the cache; transformed where that is asked."""
    from irctl.pipelines.references.vectors import of_folder

    given = of_folder(folder, collection.name)
    compared_by.say_other(given, config.search.similarity, reporter)
    metric = METRIC[config.search.similarity or encoder.similarity]

    def find() -> TrainingQueries | None:
        return training_queries.of_collection(encoder, collection, config)

    return apply(given, config, metric, reporter, find_queries=find)


def _find(given: Input, config: Config, find_queries: FindQueries | None) -> TrainingQueries | None:
    if config.transform.query_mean != "own":
        return None
    if config.transform.queries:
        return training_queries.of_file(Path(config.transform.queries), given.stream.dim)
    return find_queries() if find_queries else training_queries.of_vectors(given, config)


def with_transform(given: Input, fitted: FittedTransform) -> Input:
    """The input, transformed while it is read. DataError for vectors of another width."""
    if fitted.transform.dim != given.stream.dim:
        raise DataError(
            f"{given.name}: has {given.stream.dim} dimensions, its transform ({fitted.label}) is of "
            f"{fitted.transform.dim}"
        )
    return replace(given, stream=TransformedStream(given.stream, fitted), transform=fitted)


def fit(
    stream: Stream,
    settings: Settings,
    metric: str,
    queries: TrainingQueries | None,
    reporter: Reporter,
    *,
    kept: Path | None = None,
    statistics: Callable[[], Statistics] | None = None,
) -> FittedTransform:
    """The transform of these rows, fitted now or taken from the cache or from `kept`; what it was fitted on is said.

    statistics: of these rows, where several transforms are fitted on one sum of them (`measure_once`).
    """
    key = made_once.key_of(
        {
            "version": VERSION,
            "vectors": stream.fingerprint,
            "dim": stream.dim,
            "metric": metric,
            "settings": affine.describe(settings),
            "queries": queries.key if queries else "",
        }
    )
    if kept is not None and (kept / FILE).is_file() and (found := transform_files.load(kept)).key == key:
        return found

    def make(folder: Path) -> Mapping[str, Any]:
        corpus = (statistics or measure_once(stream, reporter))()
        vectors_QD, hashes = queries.read() if queries else (None, np.empty(0, np.uint64))
        mean_D = None if vectors_QD is None else vectors_QD.mean(axis=0, dtype=np.float64)
        words = queries.words if queries else settings.query_mean
        words = "corpus, for there are no training queries" if words == "own" else words
        made = FittedTransform(affine.fit(corpus, settings, metric, mean_D), key, words, np.unique(hashes))
        return transform_files.save(folder, made)

    fitted = transform_files.load(made_once.make_once("transforms", marked(key, [stream.fingerprint]), make))
    reporter.say(f"{fitted.label}, fitted on {stream.rows} rows; mean of the queries: {fitted.query_mean_of}")
    return fitted


def measure_once(stream: Stream, reporter: Reporter) -> Callable[[], Statistics]:
    """What gives the statistics of all rows: summed when it is first asked, and not again."""

    @cache
    def statistics() -> Statistics:
        with reporter.bar("fitting", stream.rows) as advance:
            return affine.measure(_follow(stream, advance))

    return statistics


def _follow(stream: Stream, advance: Callable[[int], Any]) -> Iterator[NDArray[np.float32]]:
    for block in stream.blocks(BLOCK):
        stopping.check("nothing of a fit is kept")
        yield block.vectors_ND
        advance(len(block.vectors_ND))


def preview(given: Input, config: Config, init: str | None = None) -> tuple[Input, dict[str, str]]:
    """(the input in the width that it will have, {transform: label}) for a dry run: nothing is read or fitted."""
    own = None
    if given.saved_transform is not None and not kept_transforms.is_asked(config):
        own = transform_files.load(given.saved_transform)
    if init:
        own = kept_transforms.of_folder(bundles.folder_of(init))
        kept_transforms.refuse_others(f"--init {init}", own, config)
    if own is not None:
        return with_transform(given, own), {"transform": own.label}
    named = describe(config)
    if named and config.transform.dim:
        given = replace(given, stream=_Width(given.stream, config.transform.dim))
    return given, named


class _Width:
    """A stream of which only the width is another."""

    def __init__(self, stream: Stream, dim: int) -> None:
        self._stream, self.dim = stream, dim

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
