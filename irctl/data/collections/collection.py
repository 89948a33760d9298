"""A collection: corpus, queries and judgements under one name, whatever its layout. open.py finds it by that name.

Dimension key: N judged queries of a split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from irctl import plugins
from irctl.data.collections.cards import Card
from irctl.data.collections.split_names import ALL, POOL
from irctl.data.files.hub import find_local
from irctl.data.files.lines import line_error
from irctl.data.judgements.qrels import ERROR, qrels_sha256, read_conflicting
from irctl.data.judgements.qrels_files import read_judgements
from irctl.data.texts.corpus import Corpus
from irctl.data.texts.store import TextStore, open_texts
from irctl.errors import DataError
from irctl.types import Qrels

T = TypeVar("T")


@dataclass(frozen=True)
class Queries:
    """Query ids and stripped texts, in the order of the query file."""

    ids: list[str]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def items(self) -> Iterator[tuple[str, str]]:
        return zip(self.ids, self.texts, strict=True)


class Layout(Protocol):
    """Where the files of one kind of collection are."""

    folder: Path
    format: str

    def corpus(self) -> TextStore: ...
    def queries(self, split: str) -> TextStore: ...
    def splits(self) -> tuple[str, ...]: ...
    def qrels_file(self, split: str) -> Path: ...


class Collection:
    """Corpus, queries and judgements. Nothing is read before it is asked for."""

    def __init__(
        self,
        card: Card,
        layout: Layout,
        *,
        root: str = "",
        title_join: str = "space",
        fix_encoding: bool = False,
        on_conflict: str = ERROR,
    ) -> None:
        self.card = card
        self.name = card.name
        self.folder = layout.folder
        self.layout = layout
        self._root = root
        self._title_join = title_join
        self._fix_encoding = fix_encoding
        self._corpus: Corpus | None = None
        self._on_conflict = on_conflict
        self._qrels: dict[str, Qrels] = {}
        self._conflicts: dict[str, int] = {}  # of single splits

    @property
    def corpus(self) -> Corpus:
        if self._corpus is None:
            self._corpus = Corpus(self.layout.corpus(), self._title_join)
        return self._corpus

    @property
    def fingerprint(self) -> str:
        """sha256 of the corpus as it is read: ids and texts in order."""
        return self.corpus.fingerprint

    def splits(self) -> tuple[str, ...]:
        """Splits with judgements."""
        return (*self.layout.splits(), *self.card.extra_splits)

    def _known(self, split: str) -> str:
        if split not in self.splits():
            legal = self.splits()
            raise DataError.of(self.name, f"no split '{split}'", hint=plugins.nearest(split, legal) if legal else "")
        return split

    def qrels_file(self, split: str) -> Path:
        if split in self.card.extra_splits and split not in self.layout.splits():
            return find_local(self.card.extra_splits[split]["qrels"], self._root)
        return self.layout.qrels_file(self._known(split))

    def query_store(self, split: str) -> TextStore:
        """All queries of the file that this split takes its queries from, judged or not."""
        if split in self.card.extra_splits and split not in self.layout.splits():
            path = find_local(self.card.extra_splits[split]["queries"], self._root)
            return open_texts(path, fix_encoding=self._fix_encoding)
        return self.layout.queries(self._known(split))

    def pooled(self, split: str) -> tuple[str, ...]:
        """The splits that a name stands for, in the order of `splits`: `dev+test` is both, `all` every one."""
        if split in self.splits():
            return (split,)
        named = self.splits() if split == ALL else tuple(s.strip() for s in split.split(POOL))
        wanted = {self._known(s) for s in named}
        return tuple(s for s in self.splits() if s in wanted) or (self._known(split),)

    def split_named(self, split: str) -> str:
        """The one name of a split or pool: `test+dev` and `dev+test` are the same."""
        return POOL.join(self.pooled(split))

    def qrels(self, split: str) -> Qrels:
        """Judgements of a split or pool of splits: query id -> document id -> grade.

        DataError for a query that stands in two of the splits with different judgements.
        """
        if split not in self._qrels:
            names = self.pooled(split)
            if len(names) == 1:
                path = self.qrels_file(names[0])
                self._qrels[split], self._conflicts[names[0]] = read_conflicting(path, self._on_conflict)
            else:
                self._qrels[split] = self._together(names, self.qrels, "judgements")
        return self._qrels[split]

    def conflicts(self, split: str) -> int:
        """Pairs of a query and a document that a split, or the splits of a pool, judge twice with other grades."""
        self.qrels(split)
        return sum(self._conflicts[name] for name in self.pooled(split))

    def _together(self, names: Sequence[str], of: Callable[[str], Mapping[str, T]], what: str) -> dict[str, T]:
        """query id -> `of(split)[query id]` over all splits. DataError where two splits contradict each other."""
        value_of: dict[str, T] = {}
        where: dict[str, str] = {}
        for name in names:
            for query_id, value in of(name).items():
                if value_of.setdefault(query_id, value) != value:
                    raise DataError(
                        f"{self.name} {POOL.join(names)}: query '{query_id}' stands in {where[query_id]} and in {name} "
                        f"with different {what}",
                        hint=f"Measure them apart: --split {','.join(names)}",
                    )
                where.setdefault(query_id, name)
        return value_of

    def top_grade(self, split: str) -> int | None:
        """Highest grade of the scale that a split or pool was judged on, by the card; None where it does not say."""
        grades = [self.card.top_grades.get(name) for name in self.pooled(split)]
        return None if None in grades else max(g for g in grades if g is not None)

    def qrels_sha256(self, split: str) -> str:
        """Hash of the judgements; neither the order of the file nor its format counts."""
        return qrels_sha256(self.qrels(split))

    def queries(self, split: str) -> Queries:
        """The judged queries of a split, in the order of the query file; of a pool one split after the other.

        DataError if one of them has no text.
        """
        names = self.pooled(split)
        if len(names) > 1:
            self.qrels(split)
            found = self._together(names, lambda s: dict(self.queries(s).items()), "texts")
            return Queries(list(found), list(found.values()))
        split = names[0]
        store, judged = self.query_store(split), list(self.qrels(split))
        rows_N = store.find(judged)
        if len(rows_N) and rows_N.min() < 0:
            missing = judged[int(rows_N.argmin())]
            path = self.qrels_file(split)
            line = next(j.line for j in read_judgements(path) if j.query_id == missing)
            raise line_error(path, line, f"query ids of {store.source}", f"'{missing}'")
        rows = sorted(rows_N.tolist())
        return Queries(store.column("id", rows), [t.strip() for t in store.column("text", rows)])

    def all_queries(self) -> Queries:
        """Every query of the collection's files, judged or not, each id once."""
        text_of: dict[str, str] = {}
        for store in {id(s.folder): s for s in map(self.query_store, self.splits())}.values():
            ids, texts = store.column("id", slice(None)), store.column("text", slice(None))
            for name, text in zip(ids, texts, strict=True):
                text_of.setdefault(name, text.strip())
        return Queries(list(text_of), list(text_of.values()))
