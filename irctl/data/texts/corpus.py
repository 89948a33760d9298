"""The passages of a collection as a model reads them: title and text joined, blanks at the ends removed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from irctl.data.texts.store import SomeRows, TextIds, TextStore
from irctl.errors import ConfigError

SENTENCE_ENDS = ".!?。！？．"
JOINS = ("space", "sentence", "sep", "none")
SEPARATOR = "[SEP]"


def join_title(title: str, text: str, how: str = "space") -> str:
    """(title + " " + text).strip() for `space`.

    sentence: a full stop after the title unless it ends a sentence. sep: BERT's [SEP] between them. none: the text
    alone.
    """
    if how == "none" or not title:
        return text.strip()
    if how == "sentence":
        title = title.rstrip()
        title += "" if not title or title[-1] in SENTENCE_ENDS else "."
    between = f" {SEPARATOR} " if how == "sep" and text.strip() else " "
    return (title + between + text).strip()


class Corpus:
    """Passages by row and by id. Everything is memory-mapped; integer rows inside irctl, string ids at its edges.

    fingerprint: sha256 of ids and texts in order, and of how titles are joined where there are any.
    """

    def __init__(self, store: TextStore, title_join: str = "space") -> None:
        if title_join not in JOINS:
            raise ConfigError(f"data.title_join: expected {', '.join(JOINS)}, found {title_join!r}")
        self.store = store
        self.title_join = title_join
        self.ids: TextIds = store.ids
        self.fingerprint = store.fingerprint
        if store.has_titles and title_join != "space":
            how = f"{title_join} {SEPARATOR}" if title_join == "sep" else title_join
            self.fingerprint = hashlib.sha256(f"{store.fingerprint} {how}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.store)

    def texts(self, rows: SomeRows) -> list[str]:
        """Passages at these rows, in the order asked. An empty document is an empty string."""
        texts = self.store.column("text", rows)
        if not self.store.has_titles or self.title_join == "none":
            return [t.strip() for t in texts]
        titles = self.store.column("title", rows)
        return [join_title(a, b, self.title_join) for a, b in zip(titles, texts, strict=True)]

    def titles(self, rows: SomeRows) -> list[str]:
        return self.store.column("title", rows)

    def row(self, document_id: str) -> int:
        """Row of a document. Raises DataError if it is not in the corpus."""
        return self.store.row(document_id)

    def find(self, document_ids: Iterable[str]) -> NDArray[np.int64]:
        """Row of each document, -1 where the corpus has none."""
        return self.store.find(document_ids)
