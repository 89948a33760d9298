"""Documents that are never mined for a query: the judged ones, the query itself, and whatever has their very text.

What ranks highest beside a positive is its copy under another id; a fifth of some public corpora are copies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from irctl.data.collections.self_match import decide_self_match
from irctl.data.texts.copies import open_copies
from irctl.data.texts.store import TextPool

if TYPE_CHECKING:
    from irctl.data.collections.collection import Collection

MOST = 1000
"""One query whose positive has many copies must not fill the memory with rankings of all others; it may find fewer."""


class LeftOut:
    """By query, in the order of the split's queries."""

    def __init__(self, collection: Collection, split: str, keep_annotated: str, setting: str) -> None:
        """keep_annotated: of hardneg. setting: eval.self_match."""
        self._corpus = corpus = collection.corpus
        self._queries, self._qrels = collection.queries(split), collection.qrels(split)
        self._zeros_stay = keep_annotated == "zero"
        self._drops_own_id = decide_self_match(collection, split, setting).drops
        self._copies = open_copies(TextPool([corpus.store]), corpus.title_join)

    def of(self, row: int) -> set[str]:
        """Ids that must not be mined for a query."""
        query_id, query = self._queries.ids[row], self._queries.texts[row]
        judged = self._qrels.get(query_id, {})
        names = {d for d, grade in judged.items() if grade > 0 or not self._zeros_stay}
        own = self._corpus.find([query_id])
        # the query may be a document without its title; one that shares no more than a number with it may be mined
        if self._drops_own_id or (own[0] >= 0 and self._corpus.store.column("text", own)[0].strip() == query):
            names.add(query_id)
        rows = self._corpus.find(names)
        alike = {r for text in (query, *self._corpus.texts(rows[rows >= 0])) for r in self._copies.rows_of(text)}
        return names | set(self._corpus.store.column("id", sorted(alike)))

    def most(self) -> int:
        """The largest number of documents that any query leaves out, up to MOST: all are ranked so much deeper."""
        return min(max((len(self.of(row)) for row in range(len(self._queries))), default=0), MOST)

    def distinct(self, ranked: list[tuple[str, float]]) -> list[tuple[str, float]]:
        """The ranking with each text once, at its best place; documents outside the corpus stay."""
        if not self._copies.count or not ranked:
            return ranked
        rows = self._corpus.find([d for d, _ in ranked])
        seen: dict[int, tuple[str, float]] = {}
        for place, (first, pair) in enumerate(zip(self._copies.first(rows).tolist(), ranked, strict=True)):
            seen.setdefault(first if first >= 0 else -1 - place, pair)
        return list(seen.values())
