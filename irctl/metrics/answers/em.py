"""EM: 1 where the answer is one of the references, both normalised as SQuAD does."""

from __future__ import annotations

from collections.abc import Sequence

from irctl.metrics.answers._words import normalize

EXAMPLE = ("The red house!", "red house")
"""An answer and a reference that it is right by."""


def score(answer: str, references: Sequence[str], classes: Sequence[str] = ()) -> float:
    """0 or 1. classes: not read."""
    return float(normalize(answer) in {normalize(r) for r in references})
