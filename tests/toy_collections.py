"""Small BEIR folders that a person can check by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Qrels = Mapping[str, Mapping[str, int]]
"""query -> document -> grade."""

DOCUMENTS = {"d1": "wing", "d2": "flow", "d3": "shock", "d4": "heat"}
QUERIES = {"a": "wing", "b": "flow", "c": "shock"}
JUDGED = {"dev": {"a": {"d1": 1}}, "test": {"b": {"d2": 1}, "c": {"d3": 1}}}


def beir_folder(folder: Path, documents: Mapping[str, Any], queries: Mapping[str, str], **judged: Qrels) -> Path:
    """A BEIR folder: texts by id, a document's being its text or its fields, and the judgements of each split."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, texts in (("corpus", documents), ("queries", queries)):
        rows = ({"_id": i, **({"text": t} if isinstance(t, str) else t)} for i, t in texts.items())
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for split, qrels in judged.items():
        lines = "".join(f"{q}\t{d}\t{grade}\n" for q, grades in qrels.items() for d, grade in grades.items())
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}")
    return folder


def two_splits(folder: Path, judged: Mapping[str, Qrels] | None = None, word: str = "") -> Path:
    """One query in dev, two in test, each answered by one of four documents. word: put before every document."""
    documents = {d: f"{word} {text}".strip() for d, text in DOCUMENTS.items()}
    return beir_folder(folder, documents, QUERIES, **(judged or JUDGED))


def word_pairs(folder: Path) -> Path:
    """64 documents of two words, as many as 4 bits can be trained on; a query a word: four train, two dev, two test."""
    words = "wing flow shock heat drag lift cone plate".split()
    texts = {f"d{8 * i + k}": f"{a} of a {b}" for i, a in enumerate(words) for k, b in enumerate(words)}
    parts = {"train": range(4), "dev": (4, 5), "test": (6, 7)}
    judged = {split: {f"q{i}": {f"d{8 * i}": 1} for i in at} for split, at in parts.items()}
    return beir_folder(folder, texts, {f"q{i}": f"what is {word}" for i, word in enumerate(words)}, **judged)
