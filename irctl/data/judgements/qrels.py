"""Judgements as a dictionary, from TREC, BEIR or MS MARCO files, and their hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from irctl.data.files.lines import line_error
from irctl.data.judgements.qrels_files import read_judgements
from irctl.types import Qrels


def read_qrels(path: Path) -> Qrels:
    """Judgements with whole-number grades: TREC, BEIR or any other form of qrels_files.py.

    Raises DataError with file:line for a grade that is not whole, and for a pair judged twice differently.
    """
    qrels: Qrels = {}
    for line, query_id, document_id, score in read_judgements(path):
        if not score.is_integer():
            raise line_error(path, line, "a whole-number grade", score, hint="Teacher scores are for training only")
        judged = qrels.setdefault(query_id, {})
        if judged.setdefault(document_id, int(score)) != int(score):
            before = judged[document_id]
            raise line_error(
                path, line, f"one grade for query {query_id}, document {document_id}", f"{before} and {score:g}"
            )
    return qrels


def qrels_sha256(qrels: Qrels) -> str:
    """Hash of the judgements; neither the order of the file nor its format counts."""
    content = hashlib.sha256()
    for query_id in sorted(qrels):
        for docid, grade in sorted(qrels[query_id].items()):
            content.update(f"{query_id}\t{docid}\t{grade}\n".encode())
    return content.hexdigest()
