"""Class-match: 1 / (number of class names in the answer) where the right one is among them, as LongBench counts.

Names are found as substrings, whatever their case. A name that is a proper part of the right one does not count: who
writes `abbreviation:full` writes `abbreviation` too.
Source: Bai et al. 2023, LongBench, arXiv 2308.14508 (its classification score).
"""

from __future__ import annotations

from collections.abc import Sequence

EXAMPLE = ("It is Blue.", "blue")


def score(answer: str, references: Sequence[str], classes: Sequence[str] = ()) -> float:
    """In [0, 1], the best over the references. classes: all names that there are; none given: the references."""
    return max(
        (_score(answer.lower(), r.lower(), {c.lower() for c in classes or references}) for r in references), default=0.0
    )


def _score(answer: str, truth: str, classes: set[str]) -> float:
    found = {c for c in classes | {truth} if c in answer and not (c in truth and c != truth)}
    return 1 / len(found) if truth in found else 0.0
