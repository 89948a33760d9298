"""Ids that a run file cannot hold: its columns are split at white space, and a line that begins with # is a comment.

White space is what trec_eval takes for it, C's isspace on bytes: a no-break space is part of an id.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from irctl.data.files import made_once
from irctl.data.files.lines import BLANKS, COMMENT

if TYPE_CHECKING:
    from irctl.data.texts.store import TextStore

FORMAT = 1
HINT = "Rename it in the corpus, queries and judgements; irctl data check lists all of them"
_SPLITS = re.compile(f"[{BLANKS}\0]")


def why_unfit(name: str, *, query: bool = False) -> str:
    """Why an id cannot stand in a run file; empty where it can. query: the id of a query, which begins a line."""
    if not name:
        return "is empty"
    if space := _SPLITS.search(name):
        return f"has {space[0]!r} in it, and run files separate columns by white space"
    return f"begins with {COMMENT}, which makes a line of a run a comment" if query and name.startswith(COMMENT) else ""


def find_unfit_document(store: TextStore) -> str:
    """The first id of a corpus that no run file can hold, or an empty string. Looked for once a corpus."""

    def look(_: object) -> dict[str, Any]:
        return {"first": next((name for name in store.ids if why_unfit(name)), "")}

    key = made_once.key_of({"ids of": store.fingerprint, "format": FORMAT})
    return str(made_once.read_manifest(made_once.make_once("run_ids", key, look))["first"])
