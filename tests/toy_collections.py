"""A BEIR folder of two splits that a person can check by hand."""

from __future__ import annotations

import json
from pathlib import Path

DOCUMENTS = {"d1": "wing", "d2": "flow", "d3": "shock", "d4": "heat"}
QUERIES = {"a": "wing", "b": "flow", "c": "shock"}
JUDGED = {"dev": {"a": {"d1": 1}}, "test": {"b": {"d2": 1}, "c": {"d3": 1}}}


def two_splits(folder: Path, judged: dict[str, dict[str, dict[str, int]]] | None = None, word: str = "") -> Path:
    """One query in dev, two in test, each answered by one of four documents. word: put before every document."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, texts in (("corpus", {d: f"{word} {t}" for d, t in DOCUMENTS.items()}), ("queries", QUERIES)):
        lines = (json.dumps({"_id": i, "text": t.strip()}) + "\n" for i, t in texts.items())
        (folder / f"{name}.jsonl").write_text("".join(lines))
    for split, qrels in (judged or JUDGED).items():
        rows = "".join(f"{q}\t{d}\t{grade}\n" for q, grades in qrels.items() for d, grade in grades.items())
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    return folder
