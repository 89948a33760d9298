"""What the dev score of a training is called: its measure, and what it ranked."""

from __future__ import annotations

from irctl import plugins

MEASURE = "nDCG@10"
GROUPS = ("groups", "coded_groups")
RANKED = {"candidates": "over candidates", "corpus": "over the corpus"}
"""What each value of eval.during ranks, where the method trains on groups; others rank the whole of their index."""


def dev_measure(method: str, during: str) -> str:
    """The dev score of a training by its full name: judged and mined candidates are far easier than the corpus."""
    is_of_groups = method in plugins.names("methods") and plugins.literal("methods", method, "DATA") in GROUPS
    return f"{MEASURE} {RANKED[during]}" if is_of_groups and during in RANKED else MEASURE
