"""A collection: corpus, queries and judgements under one name, from wherever they lie.

Sources: a built-in name, a BEIR or MS MARCO folder, beir/NAME (after `irctl data fetch`), irds:NAME,
hf://datasets/OWNER/NAME[@REVISION][/PATH], FILE.json:NAME (one entry of an evaluation configuration), a
JSON file of {query, positive, negative} pairs, and recipe:FILE.json (a configuration that ships with the recipes).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from irctl import plugins
from irctl.data.collections.cards import Card
from irctl.data.files.hub import local_source
from irctl.data.files.lines import malformed
from irctl.data.judgements.qrels import qrels_sha256, read_qrels
from irctl.data.judgements.qrels_files import read_judgements
from irctl.data.texts.corpus import Corpus
from irctl.data.texts.store import TextStore, open_texts
from irctl.errors import DataError
from irctl.types import Qrels

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Queries:
    """Query ids and stripped texts, in the order of the query file."""

    ids: list[str]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.ids)


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
        self, card: Card, layout: Layout, *, root: str = "", title_join: str = "space", fix_encoding: bool = False
    ) -> None:
        self.card = card
        self.name = card.name
        self.folder = layout.folder
        self.layout = layout
        self._root = root
        self._title_join = title_join
        self._fix_encoding = fix_encoding
        self._corpus: Corpus | None = None
        self._qrels: dict[str, Qrels] = {}

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
            raise DataError(f"{self.name}: no split '{split}'", hint=plugins.nearest(split, legal) if legal else "")
        return split

    def qrels_file(self, split: str) -> Path:
        if split in self.card.extra_splits and split not in self.layout.splits():
            return local_source(self.card.extra_splits[split]["qrels"], self._root)
        return self.layout.qrels_file(self._known(split))

    def query_store(self, split: str) -> TextStore:
        """All queries of the file that this split takes its queries from, judged or not."""
        if split in self.card.extra_splits and split not in self.layout.splits():
            path = local_source(self.card.extra_splits[split]["queries"], self._root)
            return open_texts(path, fix_encoding=self._fix_encoding)
        return self.layout.queries(self._known(split))

    def qrels(self, split: str) -> Qrels:
        """Judgements of a split: query id -> document id -> grade."""
        if split not in self._qrels:
            self._qrels[split] = read_qrels(self.qrels_file(split))
        return self._qrels[split]

    def qrels_sha256(self, split: str) -> str:
        """Hash of the judgements; neither the order of the file nor its format counts."""
        return qrels_sha256(self.qrels(split))

    def queries(self, split: str) -> Queries:
        """The judged queries of a split, in the order of the query file. DataError if one of them has no text."""
        store, judged = self.query_store(split), list(self.qrels(split))
        rows_N = store.find(judged)
        if len(rows_N) and rows_N.min() < 0:
            missing = judged[int(rows_N.argmin())]
            path = self.qrels_file(split)
            line = next(j.line for j in read_judgements(path) if j.query_id == missing)
            raise malformed(path, line, f"query ids of {store.source}", f"'{missing}'")
        rows = sorted(rows_N.tolist())
        return Queries(store.column("id", rows), [t.strip() for t in store.column("text", rows)])

    def all_queries(self) -> Queries:
        """Every query of the collection's files, judged or not, each id once."""
        found: dict[str, str] = {}
        for store in {id(s.folder): s for s in map(self.query_store, self.splits())}.values():
            ids, texts = store.column("id", slice(None)), store.column("text", slice(None))
            for name, text in zip(ids, texts, strict=True):
                found.setdefault(name, text.strip())
        return Queries(list(found), list(found.values()))
