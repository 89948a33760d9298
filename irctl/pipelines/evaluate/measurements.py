"""What an evaluation found, however it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Measurements:
    """results: a row a data set, split and measure. per_query: the same a query. searches: a row a data set and split.

    best: the documents that stand first, a row a query. lines: for people. left_out: data set -> why it could not be
    used. own: (data set, split) -> the measures asked for, where an export adds others, which no table shows. levels:
    (data set, split) -> grade from which RepCONC's count.
    """

    results: list[dict[str, Any]] = field(default_factory=list)
    per_query: list[dict[str, Any]] = field(default_factory=list)
    searches: list[dict[str, Any]] = field(default_factory=list)
    best: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    own: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    levels: dict[tuple[str, str], int] = field(default_factory=dict)

    def is_shown(self, result: Mapping[str, Any]) -> bool:
        """Whether a row of results was asked for."""
        own = self.own.get((result["dataset"], result["split"]))
        return own is None or result["measure"] in own

    def add(self, other: Measurements) -> None:
        """Append what was measured on one more data set and split."""
        self.results.extend(other.results)
        self.per_query.extend(other.per_query)
        self.searches.extend(other.searches)
        self.best.extend(other.best)
        self.lines.extend(other.lines)
