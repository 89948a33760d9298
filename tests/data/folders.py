"""Small collections written to a folder, for the tests of the data layer."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    return write(path, "".join(json.dumps(r) + "\n" for r in rows))


def beir(folder: Path, *, qrels: str = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq2\td3\t1\n") -> Path:
    """Three documents (d2 is empty), three queries, of which q1 and q2 are judged in test."""
    corpus = [
        {"_id": "d1", "title": "wings", "text": "lift of wings"},
        {"_id": "d2", "title": "", "text": ""},
        {"_id": "d3", "text": "  heat transfer "},
    ]
    jsonl(folder / "corpus.jsonl", corpus)
    queries = [{"_id": "q2", "text": " heat "}, {"_id": "q1", "text": "wings"}, {"_id": "q3", "text": "nothing"}]
    jsonl(folder / "queries.jsonl", queries)
    write(folder / "qrels/test.tsv", qrels)
    return folder


def msmarco(folder: Path) -> Path:
    """Two passages, dev and dev.small, TREC DL 2019."""
    write(folder / "collection.tsv", "0\tlift of wings\n07\tplac\u00e2\u0080\u0099s heat\n")
    write(folder / "queries.dev.tsv", "11\twings\n12\theat\n13\tunjudged\n")
    write(folder / "qrels.dev.tsv", "11\t0\t0\t1\n12\t0\t07\t1\n")
    write(folder / "queries.dev.small.tsv", "11\twings\n")
    write(folder / "qrels.dev.small.tsv", "11 0 0 1\n")
    write(folder / "msmarco-test2019-queries.tsv.gz", "19\tdl query\n")
    write(folder / "2019qrels-pass.txt", "19 Q0 07 3\n19 Q0 0 0\n")
    return folder
