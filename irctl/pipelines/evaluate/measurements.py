"""What an evaluation found, however it was measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Measurements:
    """results: a row a data set, split and measure. per_query: the same a query. searches: a row a data set and split.

    lines: for people. left_out: data set -> why it could not be used.
    """

    results: list[dict[str, Any]] = field(default_factory=list)
    per_query: list[dict[str, Any]] = field(default_factory=list)
    searches: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, other: Measurements) -> None:
        """Append what was measured on one more data set and split."""
        self.results.extend(other.results)
        self.per_query.extend(other.per_query)
        self.searches.extend(other.searches)
        self.lines.extend(other.lines)
