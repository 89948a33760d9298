"""Mined negatives on disk: grouped JSON lines {qid, docid: [...], score: [...]} or tsv, with their provenance beside.

Such a file can be used wherever a file of judgements is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from irctl.data.files.lines import suffix
from irctl.data.judgements.qrels_files import read_judgements
from irctl.files import write_out

Scored = Iterable[tuple[str, float]]


class Negatives(NamedTuple):
    """Negatives of one query, best first, with the retriever's scores."""

    query_id: str
    document_ids: list[str]
    scores: list[float]


def provenance_path(path: Path) -> Path:
    """The file beside the negatives that says what made them."""
    return path.with_name(path.name + ".provenance.json")


def write_negatives(
    path: Path, mined: Mapping[str, Scored] | Iterable[tuple[str, Scored]], provenance: Mapping[str, Any]
) -> str:
    """Write negatives (.tsv: query, document, score; else grouped JSON lines). Returns the file's sha256."""
    pairs = mined.items() if isinstance(mined, Mapping) else mined
    as_table = suffix(path) == ".tsv"

    def write(file: Any) -> None:
        if as_table:
            file.write(b"qid\tdocid\tscore\n")
        for query_id, scored in pairs:
            passages = list(scored)
            file.write((_rows(query_id, passages) if as_table else _line(query_id, passages)).encode())

    # Provenance first: negatives without it cannot be told from others.
    text = json.dumps(dict(provenance), sort_keys=True, indent=1, ensure_ascii=False, default=str)
    write_out(provenance_path(path), text + "\n")
    return write_out(path, write).sha256


def _rows(query_id: str, scored: Sequence[tuple[str, float]]) -> str:
    return "".join(f"{query_id}\t{d}\t{s:.9g}\n" for d, s in scored)


def _line(query_id: str, scored: Sequence[tuple[str, float]]) -> str:
    scores = [float(f"{s:.9g}") for _, s in scored]
    return json.dumps({"qid": query_id, "docid": [d for d, _ in scored], "score": scores}, ensure_ascii=False) + "\n"


def read_negatives(path: Path) -> Iterator[Negatives]:
    """Negatives by query, in file order; RepCONC's {qid: [docid, ...]} JSON too (its scores are 0)."""
    for query_id, rows in groupby(read_judgements(path), key=lambda j: j.query_id):
        judgements = list(rows)
        yield Negatives(query_id, [j.document_id for j in judgements], [j.score for j in judgements])
