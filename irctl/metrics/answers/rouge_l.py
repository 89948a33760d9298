"""ROUGE-L: F measure of the longest common subsequence of words; the best over the references.

Precision and recall weigh alike (beta 1), there is one subsequence over the whole text, words are not stemmed, and a
word is what blanks part, in lower case and without punctuation at its ends. ROUGE-1.5.5 weighs recall more and may
stem; package `rouge` goes sentence by sentence.
Source: Lin 2004, ROUGE: a package for automatic evaluation of summaries.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

EXAMPLE = ("The house is red.", "the house is red")


def score(answer: str, references: Sequence[str], classes: Sequence[str] = ()) -> float:
    """In [0, 1]. classes: not read."""
    return max((_score(_words(answer), _words(r)) for r in references), default=0.0)


def _words(text: str) -> list[str]:
    return [w for w in (w.strip(string.punctuation) for w in text.lower().split()) if w]


def _score(found: list[str], wanted: list[str]) -> float:
    if not found or not wanted:
        return float(found == wanted)
    return 2 * _common_length(found, wanted) / (len(found) + len(wanted))


def _common_length(first: list[str], second: list[str]) -> int:
    """Length of the longest common subsequence, by a row of the table at a time: a report has thousands of words."""
    previous = [0] * (len(second) + 1)
    for word in first:
        current = [0]
        for i, other in enumerate(second):
            current.append(previous[i] + 1 if word == other else max(previous[i + 1], current[i]))
        previous = current
    return previous[-1]
