"""The name under which the ledger keeps what a run works on."""

from __future__ import annotations


def dataset_name(asked: str, *known: str) -> str:
    """asked: run.dataset, which stands for all else. known: names that the data itself has, the surest first."""
    return next(filter(None, (asked, *known)), "")
