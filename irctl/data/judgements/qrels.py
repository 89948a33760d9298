"""Judgements as a dictionary, from TREC, BEIR or MS MARCO files, and their hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from irctl.data.files.lines import line_error
from irctl.data.judgements.qrels_files import read_judgements
from irctl.types import Qrels

ERROR = "error"
ON_CONFLICT = (ERROR, "max", "last")
"""What is done where a pair is judged twice with other grades: refuse, the highest grade, or the one read last."""
CHOOSE = "irctl data check lists them; --on-conflict max or last keeps one (search and hardneg: --set eval.on_conflict)"


def read_qrels(path: Path, on_conflict: str = ERROR) -> Qrels:
    """Judgements with whole-number grades: TREC, BEIR or any other form of qrels_files.py.

    on_conflict: of ON_CONFLICT, for a pair that is judged twice with other grades.
    Raises DataError with file:line for a grade that is not whole, and for such a pair where on_conflict is error.
    """
    return read_conflicting(path, on_conflict)[0]


def read_conflicting(path: Path, on_conflict: str = ERROR) -> tuple[Qrels, int]:
    """The judgements of read_qrels, and how many pairs of a query and a document have more than one grade."""
    qrels: Qrels = {}
    conflicting: set[tuple[str, str]] = set()
    first: tuple[int | str, str, str] | None = None
    for line, query_id, document_id, score in read_judgements(path):
        if not score.is_integer():
            raise line_error(path, line, "a whole-number grade", score, hint="Teacher scores are for training only")
        judged, grade = qrels.setdefault(query_id, {}), int(score)
        before = judged.setdefault(document_id, grade)
        if before != grade:
            expected = f"one grade for query {query_id}, document {document_id}"
            first = first or (line, expected, f"{before} and {grade}")
            conflicting.add((query_id, document_id))
            judged[document_id] = max(before, grade) if on_conflict == "max" else grade
    if first is not None and on_conflict == ERROR:
        line, expected, found = first
        more = f" (the first of {len(conflicting)} such pairs)" if len(conflicting) > 1 else ""
        raise line_error(path, line, expected, found + more, hint=CHOOSE)
    return qrels, len(conflicting)


def qrels_sha256(qrels: Qrels) -> str:
    """Hash of the judgements; neither the order of the file nor its format counts."""
    content = hashlib.sha256()
    for query_id in sorted(qrels):
        for docid, grade in sorted(qrels[query_id].items()):
            content.update(f"{query_id}\t{docid}\t{grade}\n".encode())
    return content.hexdigest()
