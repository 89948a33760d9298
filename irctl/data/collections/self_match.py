"""Whether a query that is a document of the corpus may find itself: setting, card, else the texts decide.

Dimension key: Q judged queries of the split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.data.collections.collection import Collection


class SelfMatch(NamedTuple):
    """rule: keep or drop documents with the query's own id. said: a line for the user where the texts decided."""

    rule: str
    said: str = ""

    @property
    def drops(self) -> bool:
        return self.rule == "drop"


def say_self_match(collection: Collection, split: str, setting: str, reporter: Reporter) -> SelfMatch:
    """The rule of a split, and a line to the user where the texts decided it."""
    decided = decide_self_match(collection, split, setting)
    if decided.said:
        reporter.say(decided.said)
    return decided


def decide_self_match(collection: Collection, split: str, setting: str) -> SelfMatch:
    """The rule of a split. setting: eval.self_match, empty where nobody set it.

    A collection whose card does not say is looked at: same id and same text is a self-match. Ids of queries and
    documents may be equal by accident (numbers in both), so they are dropped only if most of the equal ids have equal
    texts.
    """
    if stated := setting or collection.card.self_match:
        return SelfMatch(stated)
    queries, corpus = collection.queries(split), collection.corpus
    rows_Q = corpus.find(queries.ids)
    shared = [i for i, row in enumerate(rows_Q.tolist()) if row >= 0]
    rows = rows_Q[shared]
    # a query may be a document without its title
    passages, texts = corpus.texts(rows), corpus.store.column("text", rows)
    same = sum(queries.texts[i] in (p, t.strip()) for i, p, t in zip(shared, passages, texts, strict=True))
    if not same:
        return SelfMatch("keep")
    counted = (
        f"{collection.name} {split}: {same} of {len(queries)} queries are documents, the same id and the same text"
    )
    if 2 * same < len(shared):
        others = f"{len(shared) - same} share an id with another text"
        return SelfMatch("keep", f"{counted}, and {others}: none is dropped; eval.self_match=drop does")
    return SelfMatch("drop", f"{counted}: self-matches are dropped (eval.self_match=keep keeps them)")
