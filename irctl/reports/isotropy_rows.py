"""The rows of the isotropy table, which of them are fronts, and what was trained against the front of its own model.

A front is of one encoder's vectors by one similarity: the untouched ones and what soft whitening makes of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from irctl.reports import front
from irctl.reports.comparisons import average_queries
from irctl.reports.records import Record, RowKey, keep_newest, label_rows
from irctl.reports.table import TableOptions

UNIT = 1e-3
"""How far from 1 lengths may be where vectors are of length 1; float16 is 5e-4 off."""


@dataclass(frozen=True)
class IsotropyRow:
    """One row: its records, one a seed, and their values by query in the mean."""

    key: RowKey
    label: str
    records: tuple[Record, ...]
    values: Mapping[str, float]

    @property
    def name(self) -> str:
        """With the similarity: two rows of one label differ in it."""
        first = self.records[-1]
        return f"{self.label}, {first.similarity}" if first.part else self.label

    @property
    def is_untouched(self) -> bool:
        return self.is_plain and not self.records[-1].transform

    @property
    def is_plain(self) -> bool:
        """Whether nothing was trained; a transform may be there."""
        first = self.records[-1]
        return first.seed is None and not first.loss

    @property
    def iso(self) -> float:
        return fmean(r.facts["iso"] for r in self.records)

    @property
    def point(self) -> front.FrontPoint:
        return front.FrontPoint(self.name, self.iso, self.values)


def find_systems(records: Sequence[Record], measure: str, options: TableOptions) -> list[IsotropyRow]:
    """The rows: what was evaluated by the measure and has an IsoScore, compressed vectors left out."""
    shown = [r for r in keep_newest(records) if r.measure == measure and "iso" in r.facts and not r.compression]
    labels = label_rows(shown)
    found = []
    for key, label in labels.items():
        mine = tuple(r for r in shown if (r.system, r.variant) == key)
        values = average_queries(key, mine[-1].cell, mine, options.per_query)
        if mine[-1].part:
            label = label.replace(f", {mine[-1].similarity}", "", 1)
        found.append(IsotropyRow(key, label, mine, values or {}))
    return found


def find_fronts(systems: Sequence[IsotropyRow]) -> list[list[IsotropyRow]]:
    """Every front: rows of one similarity and of the same vectors as encoded, in the order of a; of two points or more.

    With the queries' own mean where there are such rows; an untouched row of a single evaluation is a point too.
    """
    alike: dict[tuple[str, str, str], list[IsotropyRow]] = {}
    for s in systems:
        first = s.records[-1]
        if s.is_plain and front.strength(first.transform) is not None:
            alike.setdefault((similarity_of(s), first.model, first.base), []).append(s)
    return [line for mine in alike.values() if len(line := _line(mine)) >= front.FEWEST]


def _line(rows: Sequence[IsotropyRow]) -> list[IsotropyRow]:
    at = [(front.strength(s.records[-1].transform) or 0.0, s) for s in rows]
    own = [(a, s) for a, s in at if "query_mean=" not in s.records[-1].transform]
    line = [s for _, s in sorted(own if any(a for a, _ in own) else at, key=lambda of: of[0])]
    kept = {p.label for p in front.rising([s.point for s in line])}
    return [s for s in line if s.name in kept]


def judge(systems: Sequence[IsotropyRow]) -> list[front.Verdict | front.Unjudged]:
    """What was trained, each against the front of the model that it began as, by its own similarity."""
    fronts, names = find_fronts(systems), _whole_names(systems)
    found: list[front.Verdict | front.Unjudged] = []
    for s in (s for s in systems if s.records[-1].seed is not None):
        model, similarity = s.records[-1].model, similarity_of(s)
        mine = [
            line for line in fronts
            if names[line[0].records[-1].model] == names[model] and similarity_of(line[0]) == similarity
        ]  # fmt: skip
        mine = [line for line in mine if _reading(line[0]) == _reading(s)] or mine
        if len(mine) == 1:
            found.append(front.judge([other.point for other in mine[0]], s.point))
            continue
        of = f"of {model or 'its model'} by {similarity}"
        why = f"{len(mine)} fronts {of}: name the runs to show" if mine else f"no front of two points or more {of}"
        found.append(front.Unjudged(s.name, s.iso, why))
    return front.correct_family(found)


def _whole_names(systems: Sequence[IsotropyRow]) -> dict[str, str]:
    """Model -> the longest name here that ends in it: `all-MiniLM-L6-v2` is found under its organisation too."""
    names = {s.records[-1].model for s in systems}
    return {n: max((o for o in names if o == n or (n and o.endswith(f"/{n}"))), key=len) for n in names}


def _reading(system: IsotropyRow) -> dict[str, str]:
    """The settings that somebody chose by which the encoder read texts."""
    return {k: v for k, v in system.records[-1].traits.items() if k.startswith("encoder.")}


def similarity_of(system: IsotropyRow) -> str:
    """By what a row is compared: the dot product of vectors that were measured to be of length 1 is the cosine."""
    first = system.records[-1]
    length, spread = (first.facts.get(name, 0.0) for name in ("norm.mean", "norm.std"))
    is_cosine = first.similarity == "dot" and abs(length - 1) <= UNIT and spread <= UNIT
    return "cosine" if is_cosine else first.similarity
