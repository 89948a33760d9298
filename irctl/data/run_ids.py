"""Ids that a run file cannot hold: its columns are split at white space, and a line that begins with # is a comment.

White space is what trec_eval takes for it, C's isspace on bytes: a no-break space is part of an id.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from irctl.data import artefacts
from irctl.data.lines import BLANKS, COMMENT
from irctl.errors import DataError

if TYPE_CHECKING:
    from irctl.data.collection import Collection
    from irctl.data.texts import TextStore

FORMAT = 1
HINT = "Rename it in the corpus, queries and judgements; irctl data check lists all of them"
_SPLITS = re.compile(f"[{BLANKS}\0]")


def unfit(name: str, *, query: bool = False) -> str:
    """Why an id cannot stand in a run file; empty where it can. query: the id of a query, which begins a line."""
    if not name:
        return "is empty"
    if found := _SPLITS.search(name):
        return f"has {found[0]!r} in it, and run files separate columns by white space"
    return f"begins with {COMMENT}, which makes a line of a run a comment" if query and name.startswith(COMMENT) else ""


def unfit_document(store: TextStore) -> str:
    """The first id of a corpus that no run file can hold, or an empty string. Looked for once a corpus."""

    def look(_: object) -> dict[str, Any]:
        return {"first": next((name for name in store.ids if unfit(name)), "")}

    key = artefacts.key_of({"ids of": store.fingerprint, "format": FORMAT})
    return str(artefacts.manifest(artefacts.made_once("run_ids", key, look))["first"])


def refuse(collection: Collection, split: str) -> None:
    """Raise DataError for an id of a document, or of a query of this split, that no run file can hold."""
    kinds = {"query": next((q for q in collection.queries(split).ids if unfit(q, query=True)), "")}
    kinds["document"] = "" if kinds["query"] else unfit_document(collection.corpus.store)
    for kind, name in kinds.items():
        if name:
            raise DataError(f"{collection.name}: {kind} id {name!r} {unfit(name, query=kind == 'query')}", hint=HINT)
