"""Choice: 1 where the first letter A-E or digit 1-4 that stands alone in the answer is the right one.

Phrases that lead to the choice, such as `the answer is`, are removed first, since `a` is a word too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

EXAMPLE = ("The correct answer is (B), a bird.", "B")
PHRASES = (
    "the correct answer is",
    "the right answer is",
    "the best answer is",
    "the answer is",
    "correct answer",
    "answer",
    "option",
    "choice",
)
"""Longest first: a shorter one is part of a longer."""
_PHRASES = re.compile("|".join(PHRASES), re.IGNORECASE)
_LETTER = re.compile(r"(?<![\w'])([A-Ea-e1-4])(?![\w'])")


def score(answer: str, references: Sequence[str], classes: Sequence[str] = ()) -> float:
    """0 or 1. classes: not read."""
    found = find_choice(answer)
    return float(bool(found) and found in {find_choice(r) for r in references})


def find_fault(references: Sequence[str]) -> str:
    """Why no answer can be right by the references; empty where one can."""
    return "" if any(map(find_choice, references)) else f"no answer has a letter A-E or digit 1-4: {list(references)}"


def find_choice(text: str) -> str:
    """The letter, in upper case, or the digit; empty where there is none. A capital before a small letter: `a` is an
    article more often than a choice.
    """
    letters = _LETTER.findall(_PHRASES.sub(" ", text))
    return next((x for x in letters if not x.islower()), letters[0].upper() if letters else "")
