"""Whether a query that is a document of the corpus may find itself: setting, card, else the texts decide.

Dimension key: Q judged queries of the split, K of them whose id is a document's too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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


def have_same_text(queries_K: NDArray[Any], passages_K: NDArray[Any], untitled_K: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each query is the text of the document of its id, which may be without its title there.

    As stripped texts (objects) or as hashes of them; an empty text, whose hash is 0, is none.
    """
    same_K: NDArray[np.bool_] = (queries_K == passages_K) | (queries_K == untitled_K)
    return same_K & queries_K.astype(np.bool_)


def rule_of(same: int, shared: int) -> str:
    """drop or keep, where nobody says: of a split's queries with a document's id, `same` have its text too.

    Ids of queries and documents may be equal by accident (numbers in both), so self-matches are dropped only if at
    least half of the equal ids have equal texts.
    """
    return "drop" if same and 2 * same >= shared else "keep"


def say_self_match(collection: Collection, split: str, setting: str, reporter: Reporter) -> SelfMatch:
    """The rule of a split, and a line to the user where the texts decided it."""
    decided = decide_self_match(collection, split, setting)
    if decided.said:
        reporter.say(decided.said)
    return decided


def decide_self_match(collection: Collection, split: str, setting: str) -> SelfMatch:
    """The rule of a split. setting: eval.self_match, empty where nobody set it.

    A collection whose card does not say is looked at: same id and same text is a self-match, and rule_of decides.
    """
    if stated := setting or collection.card.self_match:
        return SelfMatch(stated)
    queries, corpus = collection.queries(split), collection.corpus
    rows_Q = corpus.find(queries.ids)
    shared = [i for i, row in enumerate(rows_Q.tolist()) if row >= 0]
    rows = rows_Q[shared]
    untitled = [t.strip() for t in corpus.store.column("text", rows)]
    columns = ([queries.texts[i] for i in shared], corpus.texts(rows), untitled)
    same = int(have_same_text(*(np.array(c, dtype=object) for c in columns)).sum())
    if not same:
        return SelfMatch("keep")
    counted = (
        f"{collection.name} {split}: {same} of {len(queries)} queries are documents, the same id and the same text"
    )
    if rule_of(same, len(shared)) == "keep":
        others = f"{len(shared) - same} share an id with another text"
        return SelfMatch("keep", f"{counted}, and {others}: none is dropped; eval.self_match=drop does")
    return SelfMatch("drop", f"{counted}: self-matches are dropped (eval.self_match=keep keeps them)")
