"""F1: of the words that answer and reference share, counted with repetitions; the best over the references.

Source: Rajpurkar et al. 2016, arXiv 1606.05250 (its evaluation script).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from irctl.metrics.answers._words import normalize

EXAMPLE = ("The red house!", "red house")


def score(answer: str, references: Sequence[str], classes: Sequence[str] = ()) -> float:
    """In [0, 1]. classes: not read. Without a word on both sides the two are equal: 1."""
    return max((_score(answer, r) for r in references), default=0.0)


def _score(answer: str, reference: str) -> float:
    found, wanted = normalize(answer).split(), normalize(reference).split()
    if not found or not wanted:
        return float(found == wanted)
    shared = sum((Counter(found) & Counter(wanted)).values())
    return 2 * shared / (len(found) + len(wanted))
