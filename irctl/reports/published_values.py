"""Published numbers that irctl should reproduce, and whether it does. The numbers stand in oracles.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("oracles.toml")


@dataclass(frozen=True)
class Oracle:
    """One published value; source and recipe say where it stands and how it was made."""

    system: str
    dataset: str
    split: str
    measure: str
    value: float
    tolerance: float
    source: str
    recipe: str


@dataclass(frozen=True)
class Check:
    oracle: Oracle
    value: float

    @property
    def difference(self) -> float:
        return self.value - self.oracle.value

    @property
    def is_ok(self) -> bool:
        # Published values are rounded: a difference that only rounding explains is none.
        return abs(self.difference) <= self.oracle.tolerance + 1e-9

    @property
    def line(self) -> str:
        o = self.oracle
        verdict = "ok" if self.is_ok else f"differs by {self.difference:+.4f} (tolerance {o.tolerance})"
        return f"{o.dataset} {o.split} {o.measure} {self.value:.4f}, published {o.value} ({o.system}): {verdict}"


@cache
def load() -> tuple[Oracle, ...]:
    """Every published value, in the order of the file."""
    oracles = []
    for system in tomllib.loads(FILE.read_text())["system"]:
        for measure, values in system["values"].items():
            for place, value in values.items():
                dataset, _, split = place.partition(" ")
                tolerance = system.get("tolerance", 0.002)
                oracles.append(
                    Oracle(
                        system["name"],
                        dataset,
                        split or "test",
                        measure,
                        value,
                        tolerance,
                        system["source"],
                        system["recipe"],
                    )
                )
    return tuple(oracles)


@cache
def _aliases() -> dict[str, str]:
    systems: list[dict[str, Any]] = tomllib.loads(FILE.read_text())["system"]
    return {alias.lower(): s["name"] for s in systems for alias in (s["name"], *s.get("aliases", ()))}


def system_of(model: str) -> str | None:
    """The published system that a model name or folder stands for; None if there is none."""
    return _aliases().get(model.rstrip("/").rsplit("/", 1)[-1].lower())


def check(model: str, results: Sequence[dict[str, Any]]) -> list[Check]:
    """Published values of this model for results of evaluation ({dataset, split, measure, value})."""
    system = system_of(model)
    known = {(o.dataset, o.split, o.measure): o for o in load() if o.system == system}
    keys = [(r["dataset"], r["split"], r["measure"]) for r in results]
    return [Check(known[key], r["value"]) for key, r in zip(keys, results, strict=True) if key in known]
