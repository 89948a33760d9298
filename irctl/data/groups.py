"""Training groups: a query with K of its passages, drawn the same way for any worker, rank or resume point.

Dimension key: K passages of a group, B queries of a batch.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from irctl.data import selection
from irctl.data.copies import open_copies
from irctl.data.corpus import join
from irctl.data.false_negatives import leave_out
from irctl.data.merging import Labels, Merged, Source, pool_of
from irctl.data.qrels_store import Selection, open_qrels
from irctl.data.texts import TextPool
from irctl.errors import ConfigError, DataError
from irctl.types import TrainGroup

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collection import Collection

SEPARATOR = "/"  # between a file and an id
Rows = Sequence[int] | NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides a group; every field is a setting of the same name in `data.` or `run.`."""

    group_size: int = 8
    selection: str = "most_relevant"
    short: str = "pad"
    pin_positive: bool = False
    pin_negatives: bool = False
    on_conflict: str = "last"
    title_join: str = "space"
    max_queries: int = 0
    seed: int = 42


class GroupRows(NamedTuple):
    """A group as rows: one query, its passages [K] and their labels [K], K as drawn (short groups are not padded)."""

    query_row: int
    passage_rows_K: NDArray[np.int64]
    labels_K: NDArray[np.float32]


class GroupSource:
    """Groups of graded sources, or of positives and negatives (then column 0 is the positive)."""

    def __init__(
        self,
        graded: Sequence[Source],
        settings: Settings,
        *,
        positives: Sequence[Source] = (),
        negatives: Sequence[Source] = (),
        separator: str = "[SEP]",
    ) -> None:
        self.settings = settings
        self.is_binary = bool(positives or negatives)
        self._separator = separator
        sources = [*positives, *negatives] if self.is_binary else [*graded]
        self.queries = pool_of([s.queries for s in sources])
        self.passages = pool_of([s.passages for s in sources])
        self._has_titles = any(s.has_titles for s in self.passages.stores)

        def merged(some: Sequence[Source]) -> Merged:
            return Merged(some, self.queries, self.passages, settings.on_conflict)

        self.parts = [merged(positives), merged(negatives)] if self.is_binary else [merged(graded)]
        self._copies = open_copies(self.passages, settings.title_join, separator)
        leave_out(self.parts, self._copies)
        rows = self.parts[0].query_rows()
        if self.is_binary:
            rows = np.intersect1d(rows, self.parts[1].query_rows())
        self.query_rows = rows[: settings.max_queries] if settings.max_queries else rows
        if not len(self.query_rows):
            what = "both a positive and a negative passage" if self.is_binary else "a judgement"
            raise DataError(
                f"training data: no query has {what}", hint="Check the split, the filters and the negatives"
            )
        for part in self.parts:  # now, not in the middle of an epoch
            part.refuse_conflicts()
        if self.is_binary:
            self._refuse_both()

    def __len__(self) -> int:
        return len(self.query_rows)

    @property
    def largest_grade(self) -> float:
        return self.labels.largest

    @property
    def labels(self) -> Labels:
        """What labels a loss will see."""
        return Labels(0.0, 1.0) if self.is_binary else self.parts[0].labels

    @property
    def positive_threshold(self) -> float:
        """Half the largest grade, rounded up; 1 for positives and negatives."""
        return float(max(math.ceil(self.largest_grade / 2), 1)) if not self.is_binary else 1.0

    @property
    def fingerprint(self) -> str:
        """sha256 of the texts, the judgements as they are used, and the settings of the groups."""
        parts = {
            "texts": [[s.fingerprint for s in pool.stores] for pool in (self.queries, self.passages)],
            "sources": [
                [(s.name, s.store.about["key"], s.random_k, s.weight) for s in p.sources if s.store] for p in self.parts
            ],
            "settings": asdict(self.settings),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def group(self, index: int, epoch: int) -> TrainGroup:
        """The group of one query in one epoch, with texts. Ids are unique in this source."""
        rows = self.rows(index, epoch)
        return TrainGroup(
            self.query_id(rows.query_row),
            self.query_texts([rows.query_row])[0],
            tuple(self.passage_ids(rows.passage_rows_K)),
            tuple(self.passage_texts(rows.passage_rows_K)),
            tuple(rows.labels_K.tolist()),
        )

    def rows(self, index: int, epoch: int) -> GroupRows:
        """The group of one query in one epoch, as integer rows and labels."""
        query_row = int(self.query_rows[index])
        content = self._content(query_row)
        key = (self.settings.seed, epoch, content)
        s = self.settings
        if self.is_binary:
            positives, negatives = (p.of(query_row, (*key, side)) for side, p in zip("pn", self.parts, strict=True))
            pins = (s.pin_positive, s.pin_negatives)
            passages, labels = selection.one_positive(
                positives, negatives, s.group_size, seed=s.seed, epoch=epoch, content=content, pins=pins
            )
        else:
            judged = self.parts[0].of(query_row, key)
            ids = self.passage_ids(judged.rows_K) if s.selection.endswith("relevant") else None
            order = selection.choose(judged, s.selection, s.group_size, key, ids)
            passages, labels = judged.rows_K[order], judged.labels_K[order]
        if s.short == "cycle" and 0 < len(passages) < s.group_size:
            places = selection.repeated(s.group_size, len(passages))
            passages, labels = passages[places], labels[places]
        return GroupRows(query_row, passages, np.asarray(labels, dtype=np.float32))

    def describe(self) -> dict[str, Any]:
        """Counts by source and grade, conflicts and sizes of groups: what --dry-run prints."""
        from irctl.data.groups_report import describe

        return describe(self)

    def _content(self, query_row: int) -> str:
        """What a query is, wherever it stands in its file: its id and text."""
        store, row = self.queries.place(query_row)
        return "\0".join(store.column(name, [row])[0] for name in ("id", "text"))

    def _refuse_both(self) -> None:
        """A document that is both positive and negative would be pulled and pushed at once."""
        if pair := self.parts[0].shared_pair(self.parts[1]):
            names = f"query {self.query_id(pair[0])}, document {self.passage_ids([pair[1]])[0]}"
            raise DataError(f"{names}: both positive and negative", hint="Change min_score, max_score or the negatives")

    def known(self, query_row: int) -> Mapping[int, float]:
        """Every annotated passage of a query: row -> label, whatever was drawn."""
        found: dict[int, float] = {}
        for label, part in zip((1.0, 0.0) if self.is_binary else (None,), self.parts, strict=True):
            judged = part.of(query_row)
            labels = judged.labels_K.tolist() if label is None else [label] * len(judged)
            found |= dict(zip(judged.rows_K.tolist(), labels, strict=True))
        return found

    def same(self, rows_K: NDArray[np.integer]) -> NDArray[np.int64]:
        """Rows by which passages of the very same text are one."""
        return self._copies.first(rows_K)

    def query_id(self, row: int) -> str:
        return _ids(self.queries, [row])[0]

    def passage_ids(self, rows: Rows) -> list[str]:
        """Document ids; where texts come from several files, the file's hash stands before them."""
        return _ids(self.passages, rows)

    def query_texts(self, rows: Rows) -> list[str]:
        return [t.strip() for t in self.queries.column("text", rows)]

    def passage_texts(self, rows: Rows) -> list[str]:
        texts, how = self.passages.column("text", rows), self.settings.title_join
        if how == "none" or not self._has_titles:
            return [t.strip() for t in texts]
        titles = self.passages.column("title", rows)
        return [join(a, b, how, self._separator) for a, b in zip(titles, texts, strict=True)]


def _ids(pool: TextPool, rows: Rows) -> list[str]:
    ids = pool.column("id", rows)
    if len(pool.stores) == 1:
        return ids
    return [f"{pool.place(int(r))[0].namespace[:8]}{SEPARATOR}{i}" for r, i in zip(rows, ids, strict=True)]


def refuse_mined(labels: Labels, where: str) -> None:
    """Raise ConfigError where the labels are a teacher's scores: 0, the label of a mined negative, is none of them."""
    if not labels.are_whole:
        raise ConfigError(
            f"{where}: labels from {labels.lowest:g} to {labels.largest:g}, not whole numbers, are a teacher's "
            "scores, and mined negatives would stand among them with the label 0",
            hint="Use --negatives none, and put negatives with their scores into the judgements",
        )


def build_groups(collection: Collection, split: str, negatives_path: Path | None, config: Config) -> GroupSource:
    """The groups of a collection's split, with mined negatives labelled 0; or of a mqrel configuration.

    Judgements win over negatives of the same document. data.binary: positives from loss.positive_threshold up, one a
    group; the rest and the mined ones are negatives.
    """
    from irctl.data.mqrel import MqrelCollection

    d = config.data
    settings = Settings(
        **{f.name: getattr(d, f.name) for f in fields(Settings) if f.name != "seed"}, seed=config.run.seed
    )
    if isinstance(collection, MqrelCollection):  # has its own sources
        return collection.groups(settings)
    queries, passages = TextPool([collection.query_store(split)]), TextPool([collection.corpus.store])
    settings = replace(settings, title_join=collection.corpus.title_join)

    def source(name: str, path: Path, rule: Selection) -> Source:
        return Source(name, queries, passages, open_qrels([path], queries, passages, rule))

    qrels = collection.qrels_file(split)
    mined = []
    if negatives_path is not None:
        zero = Selection(key={"label": 0.0}, label=lambda q, d, s: 0.0)
        mined = [source("mined", negatives_path, zero)]
    if not d.binary:
        judged = source("judged", qrels, Selection())
        if mined:
            refuse_mined(Merged([judged], queries, passages, "last").labels, str(qrels))
        return GroupSource([*mined, judged], settings)
    whole = open_qrels([qrels], queries, passages, Selection())
    theta = config.loss.positive_threshold or max(math.ceil(whole.about["largest"] / 2), 1)
    high = Selection(
        key={"min": theta, "label": 1.0},
        keep=lambda q, d, s: s >= theta,
        rule=f"grade below {theta:g}",
        label=lambda q, d, s: 1.0,
    )
    low = Selection(
        key={"max": theta, "label": 0.0},
        keep=lambda q, d, s: s < theta,
        rule=f"grade {theta:g} and above",
        label=lambda q, d, s: 0.0,
    )
    return GroupSource(
        [], settings, positives=[source("judged", qrels, high)], negatives=[source("judged", qrels, low), *mined]
    )
