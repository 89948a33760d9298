"""Training groups: a query with K of its passages, drawn the same way for any worker, rank or resume point.

Dimension key: K passages of a group, B queries of a batch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from irctl.data.groups import selection, short
from irctl.data.groups.false_negatives import drop_false_negatives
from irctl.data.groups.left_empty import no_query
from irctl.data.groups.merged_sources import JudgedPassages, JudgementSource, Labels, Merged, merge_pools
from irctl.data.groups.positives import choose_threshold, half_of_largest
from irctl.data.texts.copies import open_copies
from irctl.data.texts.corpus import join_title
from irctl.data.texts.store import TextPool
from irctl.errors import ConfigError, DataError
from irctl.types import TrainGroup

SEPARATOR = "/"  # between a file and an id
REMEMBERED = 1 << 14
"""Queries whose passages are not looked up again in the next epoch."""
RowNumbers = Sequence[int] | NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class GroupSettings:
    """What decides a group; every field is a setting of the same name in `data.` or `run.`.

    positive_from: the grade from which a passage of graded data is a positive, of which a group holds one; 0: half the
    largest grade; None: groups hold all grades.
    """

    group_size: int = 8
    selection: str = "most_relevant"
    short: str = "pad"
    pin_positive: bool = False
    pin_negatives: bool = False
    on_conflict: str = "last"
    title_join: str = "space"
    max_queries: int = 0
    seed: int = 42
    positive_from: float | None = None


class GroupRows(NamedTuple):
    """A group as rows: one query, its passages [K] and their labels [K], K as drawn (short groups are not padded)."""

    query_row: int
    passage_rows_K: NDArray[np.int64]
    labels_K: NDArray[np.float32]


class GroupSource:
    """Groups of graded sources, or of positives and negatives (then column 0 is the positive).

    threshold: the grade that divides graded sources into positives and negatives; None where nothing does. Queries are
    those with a judgement, or with a positive; sources of positives and negatives must give a query both.
    """

    def __init__(
        self,
        graded: Sequence[JudgementSource],
        settings: GroupSettings,
        *,
        positives: Sequence[JudgementSource] = (),
        negatives: Sequence[JudgementSource] = (),
    ) -> None:
        self.settings = settings
        has_sides = bool(positives or negatives)
        sources = [*positives, *negatives] if has_sides else [*graded]
        self.queries = merge_pools([s.queries for s in sources])
        self.passages = merge_pools([s.passages for s in sources])
        self._has_titles = any(s.has_titles for s in self.passages.stores)

        def merged(some: Sequence[JudgementSource]) -> Merged:
            return Merged(some, self.queries, self.passages, settings.on_conflict)

        self.parts = [merged(positives), merged(negatives)] if has_sides else [merged(graded)]
        self._all_of = lru_cache(REMEMBERED)(self._look_up)
        self._content = lru_cache(REMEMBERED)(self._read_content)
        self.threshold: float | None = None
        if not has_sides and settings.positive_from is not None and len(self.parts[0].query_rows()):
            self.threshold = choose_threshold(settings.positive_from, self.parts[0].labels)
        self._copies = open_copies(self.passages, settings.title_join)
        drop_false_negatives(self.parts, self._copies, self.threshold)
        rows = self.parts[0].query_rows()
        if has_sides:
            rows = np.intersect1d(rows, self.parts[1].query_rows())
        elif self.threshold is not None:
            keys_T, labels_T = self.parts[0].settled()
            rows = np.unique(keys_T[labels_T >= self.threshold] // len(self.passages))
        self.is_binary = has_sides or self.threshold is not None
        self.query_rows = rows[: settings.max_queries] if settings.max_queries else rows
        self._held_out = 0
        if not len(self.query_rows):
            raise no_query(self.parts, self.threshold)
        self.short_queries = self._count_short() if self.is_binary and settings.short in ("fill", "error") else 0
        if self.short_queries and settings.short == "error":
            raise short.too_few(self.short_queries, len(self), settings.group_size)
        for part in self.parts:  # now, not in the middle of an epoch
            part.refuse_conflicts()
        if has_sides:
            self._refuse_both()

    def __len__(self) -> int:
        return len(self.query_rows)

    def without(self, numbers: NDArray[np.int64]) -> None:
        """Take queries out, by number: they are held out."""
        self.query_rows = np.delete(self.query_rows, numbers)
        self._held_out += len(numbers)

    @property
    def largest_grade(self) -> float:
        return self.labels.largest

    @property
    def labels(self) -> Labels:
        """What labels a loss will see."""
        labels = self.parts[0].labels
        if self.threshold is not None:
            return Labels(0.0 if labels.lowest < self.threshold else 1.0, 1.0)
        return Labels(0.0, 1.0) if self.is_binary else labels

    @property
    def positive_threshold(self) -> float:
        """The label from which a passage is a positive: half the largest grade, rounded up; 1 where labels are 0, 1."""
        return 1.0 if self.is_binary else half_of_largest(self.largest_grade)

    @property
    def fingerprint(self) -> str:
        """sha256 of the texts, the judgements as they are used, and the settings of the groups."""
        parts = {
            "texts": [[s.fingerprint for s in pool.stores] for pool in (self.queries, self.passages)],
            "sources": [
                [(s.name, s.store.about["key"], s.random_k, s.weight) for s in p.sources if s.store] for p in self.parts
            ],
            "settings": asdict(self.settings),
        } | ({"held out": self._held_out} if self._held_out else {})
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
        refill = s.short == "cycle"
        if self.is_binary:
            positives, negatives = self._sides(query_row, key)
            pins = (s.pin_positive, s.pin_negatives)
            passages, labels = selection.choose_one_positive(
                positives, negatives, s.group_size, seed=s.seed, epoch=epoch, content=content, pins=pins, refill=refill
            )
            if s.short == "fill" and len(passages) < s.group_size:
                passages, labels = short.fill(passages, labels, s.group_size, self._unfit(query_row), self.same, key)
        else:
            judged = self.parts[0].of(query_row, key)
            names = self._names(judged.rows_K) if s.selection.endswith("relevant") else None
            order = selection.choose(judged, s.selection, s.group_size, key, names)
            if refill and 0 < len(order) < s.group_size:
                order = order[selection.repeat_places(s.group_size, len(order))]
            passages, labels = judged.rows_K[order], judged.labels_K[order]
        return GroupRows(query_row, passages, np.asarray(labels, dtype=np.float32))

    def _sides(self, query_row: int, key: tuple[object, ...]) -> list[JudgedPassages]:
        """Positives and negatives of a query. Positives of graded sources take turns, so no draw leaves any out."""
        if self.threshold is None:
            return [p.of(query_row, (*key, side)) for side, p in zip("pn", self.parts, strict=True)]
        whole = self._all_of(query_row)[0]
        drawn = self.parts[0].of(query_row, key) if any(s.random_k for s in self.parts[0].sources) else whole
        return [whole.at(whole.labels_K >= self.threshold), drawn.at(drawn.labels_K < self.threshold)]

    def _count_short(self) -> int:
        """Queries with fewer negatives than a group has places for."""
        keys_T, labels_T = self.parts[-1].settled()
        low_T = keys_T if self.threshold is None else keys_T[labels_T < self.threshold]
        queries, counts = np.unique(low_T // len(self.passages), return_counts=True)
        whole = queries[counts >= self.settings.group_size - 1]
        return len(np.setdiff1d(self.query_rows, whole))

    def _unfit(self, query_row: int) -> tuple[int, frozenset[int]]:
        """(how many passages there are, rows by text of those that are judged or mined for a query)."""
        known = np.fromiter(self.known(query_row), np.int64)
        return len(self.passages), frozenset(self.same(known).tolist())

    def _names(self, rows_K: NDArray[np.int64]) -> selection.Names:
        corpora = np.searchsorted(self.passages.starts, rows_K, side="right") - 1
        return selection.Names(self.passages.column("id", rows_K), corpora.tolist())

    def mined(self, query_row: int) -> frozenset[int]:
        """Rows of a query's negatives that were mined and are judged nowhere."""
        judged = [p.of(query_row) for p in self.parts]
        return frozenset(r for j in judged if j.mined_K is not None for r in j.rows_K[j.mined_K].tolist())

    def _look_up(self, query_row: int) -> list[JudgedPassages]:
        """A query's judged and mined passages, whatever is drawn of them, by part."""
        return [part.of(query_row) for part in self.parts]

    def _read_content(self, query_row: int) -> str:
        """What a query is, wherever it stands in its file: its id and text."""
        store, row = self.queries.place(query_row)
        return "\0".join(store.column(name, [row])[0] for name in ("id", "text"))

    def _refuse_both(self) -> None:
        """A document that is both positive and negative would be pulled and pushed at once."""
        if pair := self.parts[0].shared_pair(self.parts[1]):
            sides = (" and ".join(f"{grade:g} in {name}" for name, grade in p.judged_by(*pair)) for p in self.parts)
            raise DataError(
                "{}: both positive ({}) and negative ({})".format(self.parts[0].pair_name(*pair), *sides),
                hint="Change min_score, max_score or the negatives",
            )

    def passage_rows(self) -> NDArray[np.int64]:
        """Rows of the passages that a group can hold, ascending. All where random ones may fill a group."""
        if self.settings.short == "fill":
            return np.arange(len(self.passages))
        keys_T = np.concatenate([part.settled()[0] for part in self.parts])
        query_rows_T, rows_T = np.divmod(keys_T, len(self.passages))
        rows: NDArray[np.int64] = np.unique(rows_T[np.isin(query_rows_T, self.query_rows)])
        return rows

    def known(self, query_row: int) -> Mapping[int, float]:
        """Every annotated passage of a query: row -> label, whatever was drawn."""
        label_of: dict[int, float] = {}
        if self.threshold is not None:
            judged = self._all_of(query_row)[0]
            labels_K = (judged.labels_K >= self.threshold).astype(float)
            return dict(zip(judged.rows_K.tolist(), labels_K.tolist(), strict=True))
        parts = self._all_of(query_row)
        for label, judged in zip((1.0, 0.0) if self.is_binary else (None,), parts, strict=True):
            labels = judged.labels_K.tolist() if label is None else [label] * len(judged)
            label_of |= dict(zip(judged.rows_K.tolist(), labels, strict=True))
        return label_of

    def same(self, rows_K: NDArray[np.integer]) -> NDArray[np.int64]:
        """Rows by which passages of the very same text are one."""
        return self._copies.first(rows_K)

    def query_id(self, row: int) -> str:
        return _ids(self.queries, [row])[0]

    def passage_ids(self, rows: RowNumbers) -> list[str]:
        """Document ids; where texts come from several files, the file's hash stands before them."""
        return _ids(self.passages, rows)

    def query_texts(self, rows: RowNumbers) -> list[str]:
        return [t.strip() for t in self.queries.column("text", rows)]

    def passage_texts(self, rows: RowNumbers) -> list[str]:
        texts, how = self.passages.column("text", rows), self.settings.title_join
        if how == "none" or not self._has_titles:
            return [t.strip() for t in texts]
        titles = self.passages.column("title", rows)
        return [join_title(a, b, how) for a, b in zip(titles, texts, strict=True)]


def _ids(pool: TextPool, rows: RowNumbers) -> list[str]:
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
