"""Judgements of several sources seen as one: rows of one pool of queries and one of passages, conflicts settled.

Files are named by their content, so a file used twice is one namespace, and ids of different files never clash.
Dimension key: T judgements of a source, Q queries that have some, K documents of one query, N rows asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from irctl.data import draws
from irctl.data.judgements.qrels_store import QrelsStore
from irctl.data.texts.store import TextPool, TextStore
from irctl.errors import DataError


class Labels(NamedTuple):
    """The range of the labels of training data. A teacher's scores are not whole numbers."""

    lowest: float
    largest: float
    are_whole: bool = True


@dataclass(frozen=True)
class JudgementSource:
    """One source with its own files. random_k: documents drawn anew each epoch; 0: all. weight: of random selection.

    is_mined: negatives that were found by search, not by judges; a judgement of the same document stands before them.
    """

    name: str
    queries: TextPool
    passages: TextPool
    store: QrelsStore | None
    random_k: int = 0
    weight: float = 1.0
    is_mined: bool = False


def merge_pools(pools: Sequence[TextPool]) -> TextPool:
    """Every store of these pools once, by content."""
    stores: dict[str, TextStore] = {}
    for pool in pools:
        for store in pool.stores:
            stores.setdefault(store.namespace, store)
    return TextPool(list(stores.values()))


class RowMap:
    """Row numbers of one source's pool as those of the common pool, and back."""

    def __init__(self, own: TextPool, common: TextPool) -> None:
        place = {s.namespace: i for i, s in enumerate(common.stores)}
        self._own_starts = own.starts
        self._starts = [common.starts[place[s.namespace]] for s in own.stores]

    def common(self, rows_N: NDArray[np.integer]) -> NDArray[np.int64]:
        """Rows of the common pool [N]."""
        found_N: NDArray[np.int64] = rows_N.astype(np.int64)
        if len(self._starts) == 1:  # one file: every row moves by the same number
            found_N += self._starts[0]
        else:
            which_N = np.searchsorted(self._own_starts, found_N, side="right") - 1
            found_N += np.subtract(self._starts, self._own_starts[:-1])[which_N]
        return found_N

    def own(self, row: int) -> int:
        """Row of the source's pool, -1 where the source does not have that file."""
        for own_start, own_stop, start in zip(self._own_starts, self._own_starts[1:], self._starts, strict=False):
            if start <= row < start + own_stop - own_start:
                return row - start + own_start
        return -1


@dataclass(frozen=True)
class JudgedPassages:
    """One query's documents [K]: rows of the common pool, labels, and the weight of the source each came from.

    weights_K: None where all sources weigh the same. mined_K: those that were mined; None where none were.
    """

    rows_K: NDArray[np.int64]
    labels_K: NDArray[np.float32]
    weights_K: NDArray[np.float32] | None = None
    mined_K: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.rows_K)

    def at(self, places: NDArray[Any]) -> JudgedPassages:
        """Some of the documents: places, or True for those that stay."""
        columns = (self.rows_K, self.labels_K, self.weights_K, self.mined_K)
        return JudgedPassages(*(None if column is None else column[places] for column in columns))  # type: ignore[arg-type]


class Merged:
    """Sources over common pools. A document of two sources keeps one label, by `on_conflict`: last, max or error."""

    def __init__(
        self, sources: Sequence[JudgementSource], queries: TextPool, passages: TextPool, on_conflict: str
    ) -> None:
        self.sources = [s for s in sources if s.store is not None]
        self.on_conflict = on_conflict
        self._queries = [RowMap(s.queries, queries) for s in self.sources]
        self._passages = [RowMap(s.passages, passages) for s in self.sources]
        self.pool, self._query_pool = passages, queries
        self._is_weighted = len({s.weight for s in self.sources}) > 1
        self._has_mined = any(s.is_mined for s in self.sources)
        names = [s.name for s in self.sources]
        # sources of one name draw apart: the second one's key has a 1 besides
        self._draw_names = [(name, *[n for n in (names[:i].count(name),) if n]) for i, name in enumerate(names)]

    def query_rows(self, *, mined: bool = False) -> NDArray[np.int64]:
        """Rows of the queries that have a judgement, or mined: that have a mined negative; ascending."""
        rows_of = [
            rows.common(np.asarray(s.store.query_row_Q))
            for s, rows in zip(self.sources, self._queries, strict=True)
            if s.store is not None and s.is_mined == mined
        ]
        return np.unique(np.concatenate(rows_of)) if rows_of else np.zeros(0, np.int64)

    def of(self, query_row: int, draw: tuple[object, ...] | None = None) -> JudgedPassages:
        """A query's documents in order of sources and files. draw: key of `random_k`; None: all documents.

        Raises DataError where sources disagree and on_conflict is error.
        """
        parts = [(i, p) for i in range(len(self.sources)) if len(p := self._part(i, query_row, draw))]
        if len(parts) == 1:
            return parts[0][1]
        labels: dict[int, float] = {}
        weights: dict[int, float] = {}
        mined: dict[int, bool] = {}
        for i, part in parts:
            weight, is_mined = self.sources[i].weight, self.sources[i].is_mined
            for row, label in zip(part.rows_K.tolist(), part.labels_K.tolist(), strict=True):
                before = labels.get(row)
                if before is not None and before != label:
                    label = self._settle(query_row, row, before, label)
                labels[row] = label
                weights[row] = weight
                mined[row] = is_mined and mined.get(row, True)
        n = len(labels)
        return JudgedPassages(
            np.fromiter(labels, np.int64, n),
            np.fromiter(labels.values(), np.float32, n),
            np.fromiter(weights.values(), np.float32, n) if self._is_weighted else None,
            np.fromiter(mined.values(), np.bool_, n) if self._has_mined else None,
        )

    def _part(self, i: int, query_row: int, draw: tuple[object, ...] | None) -> JudgedPassages:
        source = self.sources[i]
        assert source.store is not None
        rows, labels = source.store.of(self._queries[i].own(query_row))  # -1, of no file, has no documents
        if draw is not None and 0 < source.random_k < len(rows):
            chosen = np.sort(draws.order(len(rows), *draw, "random_k", *self._draw_names[i])[: source.random_k])
            rows, labels = rows[chosen], labels[chosen]
        mined_K = np.full(len(rows), source.is_mined) if self._has_mined else None
        return JudgedPassages(self._passages[i].common(rows), labels, mined_K=mined_K)

    def _settle(self, query_row: int, row: int, before: float, label: float) -> float:
        if self.on_conflict == "error":
            judged = " and ".join(f"{grade:g} in {name}" for name, grade in self.judged_by(query_row, row))
            raise DataError(f"{self.pair_name(query_row, row)}: judged {judged}", hint="Set on_conflict to max or last")
        return max(before, label) if self.on_conflict == "max" else label

    def pair_name(self, query_row: int, row: int) -> str:
        """A query and a document by their ids."""
        return f"query {self._query_pool.column('id', [query_row])[0]}, document {self.pool.column('id', [row])[0]}"

    def judged_by(self, query_row: int, row: int) -> list[tuple[str, float]]:
        """(source, label) of every source that judges a pair."""
        parts = [(s.name, self._part(i, query_row, None)) for i, s in enumerate(self.sources)]
        return [(name, float(label)) for name, p in parts for label in p.labels_K[p.rows_K == row]]

    def pairs(self, i: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Every (query, document) of one source as one number, with its label; [T] each."""
        store = self.sources[i].store
        assert store is not None
        queries = self._queries[i].common(np.asarray(store.query_row_Q, dtype=np.int64))
        documents = self._passages[i].common(np.asarray(store.document_row_T, dtype=np.int64))
        return np.repeat(queries, np.diff(store.indptr)) * len(self.pool) + documents, np.asarray(store.label_T)

    def settled(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Every pair once, ascending, with the label that `on_conflict` leaves it; [T] each. A pass over everything."""
        parts = [self.pairs(i) for i in range(len(self.sources))]
        keys_T, labels_T = (np.concatenate(column) for column in zip(*parts, strict=True))
        order_T = np.lexsort((labels_T, keys_T)) if self.on_conflict == "max" else np.argsort(keys_T, kind="stable")
        keys_T, labels_T = keys_T[order_T], labels_T[order_T]
        is_last_T = np.r_[keys_T[1:] != keys_T[:-1], np.ones(min(len(keys_T), 1), np.bool_)]
        return keys_T[is_last_T], labels_T[is_last_T]

    def conflicts(self) -> int:
        """Pairs that sources judge differently."""
        return len(self._conflicting())

    def refuse_conflicts(self) -> None:
        """Raise DataError for the first pair that sources judge differently, if on_conflict is error."""
        if self.on_conflict == "error" and len(pairs := self._conflicting()):
            self.of(int(pairs[0]) // len(self.pool))

    def _conflicting(self) -> NDArray[np.int64]:
        """Pairs, as `pairs` numbers them. A pass over everything; one source alone has none."""
        if len(self.sources) < 2:
            return np.zeros(0, np.int64)
        parts = [self.pairs(i) for i in range(len(self.sources))]
        keys_T, labels_T = (np.concatenate(column) for column in zip(*parts, strict=True))
        order_T = np.lexsort((labels_T, keys_T))
        same = keys_T[order_T][1:] == keys_T[order_T][:-1]
        differ = labels_T[order_T][1:] != labels_T[order_T][:-1]
        pairs: NDArray[np.int64] = np.unique(keys_T[order_T][1:][same & differ])
        return pairs

    def shared_pair(self, other: Merged) -> tuple[int, int] | None:
        """A (query row, passage row) that both have, or None."""
        mine = np.unique(np.concatenate([self.pairs(i)[0] for i in range(len(self.sources))]))
        for i in range(len(other.sources)):
            keys, _ = other.pairs(i)
            place = np.minimum(np.searchsorted(mine, keys), max(len(mine) - 1, 0))
            both: Any = np.flatnonzero(mine[place] == keys) if len(mine) else []
            if len(both):
                return divmod(int(keys[both[0]]), len(self.pool))
        return None

    @property
    def labels(self) -> Labels:
        """Range and kind of all labels; zeros where there is none."""
        abouts = [s.store.about for s in self.sources if s.store and len(s.store)]
        if not abouts:
            return Labels(0.0, 0.0)
        lowest, largest = min(a["lowest"] for a in abouts), max(a["largest"] for a in abouts)
        return Labels(lowest, largest, all(a["whole"] for a in abouts))
