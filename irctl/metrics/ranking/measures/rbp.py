"""RBP(p): relevant documents found a step by a reader who goes on with chance p: (1 - p) times the sum of p^(rank - 1).

Binary, as ir_measures' engine for it has it: a document counts from grade rel up. Documents not judged count as
irrelevant, so the value is a lower bound. A query with R relevant documents reaches 1 - p^R at most.
Source: Moffat and Zobel 2008, ACM TOIS 27(1), Rank-biased precision for measurement of retrieval effectiveness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

NAME = "RBP"
CUTOFF = "optional"
PARAMETERS = ("rel", "p")
LAWS = ()


def value(ranking: Sequence[str], grades: Mapping[str, int], k: int | None, rel: int, p: float) -> float:
    """Value in [0, 1)."""
    return (1 - p) * sum(p**i for i, docid in enumerate(ranking[:k]) if grades.get(docid, 0) >= rel)
