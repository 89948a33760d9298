"""A collection of twelve words, for trainings of the real encoder that take a second."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from toy_collections import beir_folder

WORDS = "wing flow heat shock jet plate cone wave gas drag lift skin".split()


def word_collection(folder: Path, **splits: Iterable[int]) -> str:
    """A BEIR folder: document i has word i twice and word i - 1 once, query i is word i. splits: their queries."""
    documents = {f"d{i}": f"{w} {w} {WORDS[i - 1]}" for i, w in enumerate(WORDS)}
    queries = {f"q{i}": w for i, w in enumerate(WORDS)}
    judged = {split: {f"q{i}": {f"d{i}": 1} for i in wanted} for split, wanted in splits.items()}
    return str(beir_folder(folder, documents, queries, **judged))
