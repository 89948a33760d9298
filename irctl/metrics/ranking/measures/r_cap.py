"""R_cap@k, BEIR's capped recall: relevant documents in the top k, over min(k, relevant judged documents).

Source: Thakur et al. 2021, arXiv 2104.08663, where it scores TREC-COVID (hundreds of relevant documents a query).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

NAME = "R_cap"
SYNONYMS = ("capped_recall",)
CUTOFF = "needed"
PARAMETERS = ("rel",)
USUAL = 100
LAWS = ("perfect is 1",)


def value(ranking: Sequence[str], grades: Mapping[str, int], k: int, rel: int) -> float:
    """Value in [0, 1]; 0 for a query without relevant documents."""
    relevant = sum(grade >= rel for grade in grades.values())
    hits = sum(grades.get(docid, 0) >= rel for docid in ranking[:k])
    return hits / min(k, relevant) if relevant else 0.0
