"""The judged queries of a split over the rows of an index, and those held out to choose the best checkpoint by.

Held out are the queries of dev, where the collection reports another split; else 2 % of the training queries, drawn by
the seed and taken out of the training. What is reported never chooses.

Dimension key: N rows of the index, J judged rows of a query, T training queries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irctl.data import draws
from irctl.data.collections.self_match import decide_self_match
from irctl.data.collections.training_source import JudgedSplit, open_training_source
from irctl.data.groups import positives
from irctl.data.groups.merged_sources import Labels
from irctl.data.judgements.qrels_store import Selection, open_qrels
from irctl.data.texts.store import TextPool
from irctl.errors import ConfigError, DataError
from irctl.models.transforms.files import hash_texts
from irctl.training.index.retrieved import Judgements
from irctl.training.objective import terms

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.types import Qrels

DEV = "dev"
SHARE, LEAST, MOST = 0.02, 20, 2000
"""Of the training queries, held out where there is no dev split to choose by."""
IDS = 10_000  # looked up at once
TEXTS_AT_ONCE = 100_000


@dataclass(frozen=True)
class HeldOut:
    """Queries that choose the best checkpoint, with all their judgements."""

    split: str  # what the ledger calls them
    ids: list[str]
    texts: list[str]
    qrels: Qrels
    self_match: str


class JudgedQueries:
    """Training queries with a labelled positive, by number.

    labels: range of the grades as judged. threshold: the grade of a positive. positive_from: the same in the labels
    handed out, which are 1 and 0 where the losses know positives alone. without_positive: judged queries left out.
    """

    def __init__(self, config: Config, split: JudgedSplit, place_N: NDArray[np.int64] | None) -> None:
        self._texts = split.collection.query_store(split.split)
        queries, passages = TextPool([self._texts]), TextPool([split.collection.corpus.store])
        self._store = open_qrels([split.collection.qrels_file(split.split)], queries, passages, Selection())
        self._place_N = place_N
        about = self._store.about
        self.labels = Labels(about["lowest"], about["largest"], about["whole"])
        self.threshold = choose_threshold(config, self.labels)
        self.is_binary = positives.is_binary(config)
        self.positive_from = 1.0 if self.is_binary else self.threshold
        of_query_T = np.repeat(np.arange(len(self._store)), np.diff(self._store.indptr))
        has_positive_Q = np.zeros(len(self._store), np.bool_)
        has_positive_Q[of_query_T[self._store.label_T >= self.threshold]] = True
        self.without_positive = int((~has_positive_Q).sum())
        self._rows_T = np.asarray(self._store.query_row_Q)[has_positive_Q].astype(np.int64)
        rule = decide_self_match(split.collection, split.split, config.eval.self_match)
        self._own: Collection | None = split.collection if rule.drops else None
        self.fingerprint = hashlib.sha256(f"{about['key']} {self.threshold} {rule.rule}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._rows_T)

    def without(self, held_out_T: NDArray[np.int64]) -> None:
        """Take queries out, by number."""
        self._rows_T = np.delete(self._rows_T, held_out_T)

    def names(self, numbers: Iterable[int]) -> list[str]:
        return self._texts.column("id", [int(self._rows_T[n]) for n in numbers])

    def texts(self, numbers: Iterable[int]) -> list[str]:
        return [t.strip() for t in self._texts.column("text", [int(self._rows_T[n]) for n in numbers])]

    def hashes(self) -> NDArray[np.uint64]:
        """Of all their texts (models/fitted_rows.py)."""
        firsts = range(0, len(self), TEXTS_AT_ONCE)
        pieces = [hash_texts(self.texts(range(first, min(first + TEXTS_AT_ONCE, len(self))))) for first in firsts]
        return np.unique(np.concatenate(pieces))

    def known(self, query: int) -> Judgements:
        """Judged rows of a query, ascending, with their labels."""
        documents_J, labels_J = self._store.of(int(self._rows_T[query]))
        rows_J = self._place(documents_J.astype(np.int64))
        order_J = np.argsort(rows_J)
        if self.is_binary:
            labels_J = (labels_J >= self.threshold).astype(np.float32)
        name = self.names([query])[0]
        own = -1
        if self._own is not None and (row := int(self._own.corpus.find([name])[0])) >= 0:
            own = int(self._place(np.array([row]))[0])
        return Judgements(name, rows_J[order_J], np.asarray(labels_J, np.float32)[order_J], own)

    def _place(self, documents_J: NDArray[np.int64]) -> NDArray[np.int64]:
        return documents_J if self._place_N is None else self._place_N[documents_J]


def choose_threshold(config: Config, labels: Labels) -> float:
    """The grade from which a document is a labelled positive; 1 for losses that order all grades."""
    if (asked := positives.threshold_asked_for(config)) is not None:
        return positives.choose_threshold(asked, labels)
    used = [p.settings.get("positive_threshold") for p in terms.parts(config, labels.largest)]
    return min((float(t) for t in used if t is not None), default=1.0)


def open_split(config: Config) -> JudgedSplit:
    """The split to train on. Raises ConfigError for a configuration of several sources, which has no one corpus."""
    source = open_training_source(config)
    if not isinstance(source, JudgedSplit):
        raise ConfigError(
            f"data.source={config.data.source}: --method {config.train.method} trains on one collection, whose "
            "documents are the rows of an index",
            hint="Name a collection",
        )
    return source


def open_queries(config: Config, ids: Iterable[str] | None, rows: int) -> tuple[JudgedQueries, HeldOut | None]:
    """(training queries, held out ones; None where eval.during=off).

    ids: of the index's rows; None: they are the documents of the collection in order. Raises DataError where a judged
    document is not in the index, or no query has a positive.
    """
    split = open_split(config)
    place_N = _places(split.collection, ids, rows)
    queries = JudgedQueries(config, split, place_N)
    if not len(queries):
        raise DataError(
            f"{split.name}/{split.split}: no query has a document of grade {queries.threshold:g} or more",
            hint="Check the judgements, or set loss.positive_threshold",
        )
    return queries, _hold_out(config, split, queries) if config.eval.during != "off" else None


def _places(collection: Collection, ids: Iterable[str] | None, rows: int) -> NDArray[np.int64] | None:
    """The index row of each document; None where they are numbered alike."""
    corpus = collection.corpus
    if ids is None:
        if rows != len(corpus):
            raise DataError(
                f"the index has {rows} rows without ids, {collection.name} has {len(corpus)} documents",
                hint="Name the index of this collection with --index",
            )
        return None
    place_N = np.full(len(corpus), -1, np.int64)
    row, names = 0, iter(ids)
    while some := list(islice(names, IDS)):
        found = corpus.find(some)
        here = found >= 0
        place_N[found[here]] = np.arange(row, row + len(some))[here]
        row += len(some)
    if missing := int((place_N < 0).sum()):
        first = corpus.ids[int(place_N.argmin())]
        raise DataError(
            f"the index lacks {missing} of {len(corpus)} documents of {collection.name}, such as '{first}'",
            hint="Name the index of this collection with --index, or its collection with --data",
        )
    return None if (place_N == np.arange(len(place_N))).all() else place_N


def dev_of(split: JudgedSplit) -> str | None:
    """The dev split, where it is neither trained on nor what the collection reports."""
    collection = split.collection
    is_apart = split.split != DEV and collection.card.headline_split != DEV
    return DEV if is_apart and DEV in collection.splits() else None


def held_out_size(queries: int) -> int:
    """How many of so many training queries are held out."""
    return min(max(round(SHARE * queries), LEAST), MOST, queries // 2)


def _hold_out(config: Config, split: JudgedSplit, queries: JudgedQueries) -> HeldOut | None:
    collection = split.collection
    if dev := dev_of(split):
        asked = collection.queries(dev)
        rule = decide_self_match(collection, dev, config.eval.self_match).rule
        return HeldOut(dev, asked.ids, asked.texts, collection.qrels(dev), rule)
    count = held_out_size(len(queries))
    if not count:
        return None
    chosen_T = np.sort(draws.order(len(queries), "held out", config.run.seed)[:count])
    ids, texts = queries.names(chosen_T), queries.texts(chosen_T)
    qrels = collection.qrels(split.split)
    rule = decide_self_match(collection, split.split, config.eval.self_match).rule
    queries.without(chosen_T)
    return HeldOut(f"{count} of {split.split}", ids, texts, {q: qrels[q] for q in ids}, rule)
