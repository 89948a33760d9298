"""What people call the columns and fields of queries, documents, grades and texts: every reader looks here.

Headers are compared in lower case, fields of JSON as they are. Two columns of one meaning are refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from irctl.errors import DataError

QUERY = ("qid", "query_id", "query-id", "queryid", "q_id", "topic", "topic_id", "topic-id")
DOCUMENT = (
    *("docid", "doc_id", "doc-id", "docno", "document_id", "document-id"),
    *("passage_id", "passage-id", "pid", "corpus_id", "corpus-id"),
)
SCORE = ("score", "relevance", "rel", "grade", "label", "judgment", "judgement")
JUDGED = {"query": QUERY, "document": DOCUMENT, "score": SCORE}
TEXT = ("text", "contents")
"""text before pyserini's contents."""
OWN_ID, PLAIN_ID = "_id", "id"
"""BEIR's name of a record's id, which wins over any other; and the name that counts where there is no other."""
IDS = (OWN_ID, *QUERY, *DOCUMENT, PLAIN_ID)
VECTOR_IDS = ("docid", "_id", "id", "passage_id", "doc_id")
"""Of a parquet file of vectors: the first that is there; --data SOURCE#COLUMN,IDS names another."""
KNOWN = "; ".join(f"{meaning}: {' '.join(names)}" for meaning, names in JUDGED.items())
"""The table as hints show it."""


def judged_columns(names: Sequence[str], where: str) -> tuple[int, int, int] | None:
    """Places of query, document and score in a header, in whatever order; None if one has no column.

    Raises DataError where two columns mean the same.
    """
    lowered = [n.strip().lower() for n in names]
    places = {meaning: [i for i, n in enumerate(lowered) if n in known] for meaning, known in JUDGED.items()}
    if not all(places.values()):
        return None
    for meaning, found in places.items():
        if len(found) > 1:
            shown = " and ".join(names[i].strip() for i in found)
            raise DataError(f"{where}: expected one {meaning} column, found {shown}", hint="Rename or drop the others")
    return places["query"][0], places["document"][0], places["score"][0]


def id_name(names: Collection[str]) -> str | None:
    """Which field is the id of a text: _id, else the one that means a query or a document, else id.

    None where there is none, or several of the second kind.
    """
    if OWN_ID in names:
        return OWN_ID
    found = [n for n in (*QUERY, *DOCUMENT) if n in names]
    return found[0] if len(found) == 1 else PLAIN_ID if not found and PLAIN_ID in names else None


def text_name(names: Collection[str]) -> str | None:
    """Which field is the text."""
    return next((n for n in TEXT if n in names), None)
