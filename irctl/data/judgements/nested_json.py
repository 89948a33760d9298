"""One JSON object of queries, {qid: {docid: number}} or {qid: [docid, ...]}: of ranx and RepCONC.

A query or document that stands twice is kept twice, so that readers can refuse it; json.loads alone keeps the last.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from irctl import tables
from irctl.data.files.lines import open_unpacked


class Pairs(list[tuple[str, Any]]):
    """An object of JSON as its pairs, in the order of the file."""


def read_nested(path: Path, *, hint: str = "") -> Pairs | None:
    """(query id, Pairs of documents or list of ids) of the file; None where it is of another shape.

    Raises DataError with the line and column where it is not one JSON text, as JSON lines are not.
    """
    with open_unpacked(path) as file:
        value = tables.parse_json(file.read(), str(path), hint=hint, pairs=Pairs)
    is_nested = isinstance(value, Pairs) and all(isinstance(documents, list) for _, documents in value)
    return value if is_nested else None
