"""ERR@k: the expected 1 / rank at which a reader stops who goes down the list and is satisfied with chance R(grade).

R(g) = (2^g - 1) / 2^G, with G the top grade of the scale: from the collection's card, else the highest of the
judgements. Values of scales with another G do not compare; gdeval's G is 4 whatever the judgements hold.
Source: Chapelle, Metzler, Zhang and Grinspan 2009, CIKM, Expected reciprocal rank for graded relevance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

NAME = "ERR"
CUTOFF = "optional"
READS = ("top_grade",)
LAWS = ("grades above the lowest count",)


def value(ranking: Sequence[str], grades: Mapping[str, int], k: int | None, top_grade: int) -> float:
    """Value in [0, 1), at most R of the highest grade for a query with one relevant document."""
    expected, still_reading = 0.0, 1.0
    for rank, docid in enumerate(ranking[:k], 1):
        satisfied = (2 ** grades.get(docid, 0) - 1) / 2**top_grade
        expected += still_reading * satisfied / rank
        still_reading *= 1 - satisfied
    return expected
