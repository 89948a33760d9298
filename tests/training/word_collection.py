"""A collection of twelve words, for trainings of the real encoder that take a second."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

WORDS = "wing flow heat shock jet plate cone wave gas drag lift skin".split()


def word_collection(folder: Path, **splits: Iterable[int]) -> str:
    """A BEIR folder: document i has word i twice and word i - 1 once, query i is word i. splits: their queries."""
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{i}", "text": f"{w} {w} {WORDS[i - 1]}"} for i, w in enumerate(WORDS)]
    queries = [{"_id": f"q{i}", "text": w} for i, w in enumerate(WORDS)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for split, wanted in splits.items():
        judged = "".join(f"q{i}\td{i}\t1\n" for i in wanted)
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return str(folder)
