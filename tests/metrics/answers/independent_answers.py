"""Second implementations of the measures of answers, written apart from irctl's: slow, recursive, by other means."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

ASCII_PUNCTUATION = {chr(c) for c in range(33, 127) if not chr(c).isalnum()}


def squad_words(text: str) -> list[str]:
    kept = "".join(c for c in unicodedata.normalize("NFC", text.lower()) if c not in ASCII_PUNCTUATION)
    return [w for w in re.split(r"\s+", kept) if w and w not in ("a", "an", "the")]


def em(answer: str, reference: str, classes: list[str]) -> float:
    return 1.0 if squad_words(answer) == squad_words(reference) else 0.0


def f1(answer: str, reference: str, classes: list[str]) -> float:
    found, left = squad_words(answer), squad_words(reference)
    size = len(left)
    if not found or not size:
        return float(found == left)
    same = 0
    for word in found:
        if word in left:
            left.remove(word)
            same += 1
    precision, recall = same / len(found), same / size
    return 2 * precision * recall / (precision + recall) if same else 0.0


def rouge_l(answer: str, reference: str, classes: list[str]) -> float:
    def words(text: str) -> list[str]:
        edges = "".join(ASCII_PUNCTUATION)
        return [w.strip(edges) for w in text.lower().split() if w.strip(edges)]

    a, b = words(answer), words(reference)

    @cache
    def longest(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        return 1 + longest(i + 1, j + 1) if a[i] == b[j] else max(longest(i + 1, j), longest(i, j + 1))

    if not a or not b:
        return float(a == b)
    precision, recall = longest(0, 0) / len(a), longest(0, 0) / len(b)
    return 2 * precision * recall / (precision + recall) if precision else 0.0


def class_match(answer: str, reference: str, classes: list[str]) -> float:
    """LongBench's loop, read in its paper and code's description: all found, parts of the truth taken out."""
    text, truth = answer.lower(), reference.lower()
    matches = []
    for name in sorted({*(c.lower() for c in classes or [reference]), truth}):
        if text.find(name) >= 0:
            matches.append(name)
    matches = [m for m in matches if m == truth or truth.find(m) < 0]
    return 1.0 / len(matches) if truth in matches else 0.0


def choice(answer: str, reference: str, classes: list[str]) -> float:
    def first(text: str) -> str:
        for phrase in ("the correct answer is", "the right answer is", "the best answer is", "the answer is"):
            text = re.sub(phrase, " ", text, flags=re.I)
        for phrase in ("correct answer", "answer", "option", "choice"):
            text = re.sub(phrase, " ", text, flags=re.I)
        words = re.split(r"[^\w']+", text)
        small = [w for w in words if w in list("abcde")]
        capital = [w for w in words if w in list("ABCDE1234")]
        return capital[0] if capital else small[0].upper() if small else ""

    return float(first(answer) != "" and first(answer) == first(reference))
