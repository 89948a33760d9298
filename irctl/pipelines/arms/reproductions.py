"""What a recipe's [tiny] overlay gave when it was measured, and whether it does so here.

[meta.reproduced] of a recipe: `lines`, the command lines from the built-in data on; `figures`, of the run of the last
line by the name of a measure, of an arm of a group as `ARM: MEASURE`, of one split of several as `MEASURE on SPLIT`;
`tolerance`, the largest difference that other machines and versions may make; `cpu_s`, what they took on one thread.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irctl import paths, recipes_index, shipped_files
from irctl.errors import ConfigError, DataError
from irctl.ledger import query

PAGE = "REPRODUCTIONS.md"  # beside the recipes


@dataclass(frozen=True)
class Reproduction:
    """One recipe's lines and what they gave."""

    recipe: str
    lines: tuple[str, ...]
    figures: Mapping[str, float]
    tolerance: float
    cpu_s: int


def of_recipe(name: str) -> Reproduction | None:
    """What was measured of a recipe; None where nothing was."""
    table = recipes_index.read(name).get("meta", {}).get("reproduced")
    if table is None:
        return None
    return Reproduction(name, tuple(table["lines"]), table["figures"], table["tolerance"], table["cpu_s"])


def named(name: str) -> Reproduction:
    """As of_recipe. Raises ConfigError where nothing was measured."""
    if (found := of_recipe(name)) is None:
        raise ConfigError(
            f"{name}: has no [meta.reproduced], so nothing says what its --tiny gives",
            hint=f"Those that have: {', '.join(r.recipe for r in listed())}",
        )
    return found


def listed() -> list[Reproduction]:
    """All that were measured, by name."""
    return [r for name in shipped_files.names("recipes") if (r := of_recipe(name)) is not None]


@contextmanager
def runs_apart(recipe: str) -> Iterator[Path]:
    """A new folder of runs, with a ledger of its own, for lines that run meanwhile: what was made elsewhere is not the
    newest there. It is the caller's to remove.
    """
    above = paths.cache() / "reproduced"
    above.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{Path(recipe).stem}-", dir=above))
    before = {name: os.environ.get(name) for name in ("IRCTL_RUNS", "IRCTL_LEDGER")}
    os.environ.update(IRCTL_RUNS=str(folder), IRCTL_LEDGER="")
    try:
        yield folder
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def compare(expected: Reproduction, payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a figure: recipe, figure, expected, found, tolerance, holds. payload: --json of the last line."""
    rows = []
    for figure, value in expected.figures.items():
        found = _value(payload, figure)
        holds = abs(found - value) <= expected.tolerance
        rows.append(
            {"recipe": expected.recipe, "figure": figure, "expected": value, "found": round(found, 6),
             "tolerance": expected.tolerance, "holds": "yes" if holds else "NO"}
        )  # fmt: skip
    return rows


def _value(payload: Mapping[str, Any], figure: str) -> float:
    """The value of `MEASURE`, of an arm or a split, in the run that a payload is of. DataError unless there is one."""
    named, _, split = figure.partition(" on ")
    arm, _, measure = named.rpartition(": ")
    run = str(payload.get("run"))
    if arm:
        runs = {r["name"]: r for r in payload.get("runs", ())}
        if arm not in runs:
            raise DataError(f"{figure}: no arm '{arm}' ran; there are {', '.join(runs)}")
        own = [v for k, v in runs[arm].items() if k not in ("name", "evals")]
        run = str([*own, *runs[arm]["evals"]][-1])
    measures = query.measures(run)
    values = {m["split"]: float(m["value"]) for m in measures if m["name"] == measure and split in ("", m["split"])}
    if not values:
        known = dict.fromkeys(f"{m['name']} on {m['split']}" if m["split"] else m["name"] for m in measures)
        raise DataError(f"{figure}: run {run} has no such measure; it has {', '.join(known)}")
    if len(values) > 1:
        raise DataError(f"{figure}: run {run} measured it on {', '.join(values)}; say '{named} on SPLIT'")
    return next(iter(values.values()))


def page() -> str:
    """The page of all of them, markdown."""
    rows = "\n".join(
        f"| {r.recipe} | {'<br>'.join(f'`{line}`' for line in r.lines)} "
        f"| {'<br>'.join(f'{name} {value:g}' for name, value in r.figures.items())} | {r.tolerance:g} | {r.cpu_s} |"
        for r in listed()
    )
    return f"""# Reproductions

What the small form of every recipe gave here: on a CPU, with one thread (`OMP_NUM_THREADS=1`) and the versions of
`.ci/constraints.txt`. They show that a recipe does the same on your machine, not what it gives at full size.
`irctl recipes reproduce NAME` runs the lines and compares; a figure further away than the tolerance is an error.

On one machine the same lines give the same figures. The tolerance is for other processors and versions: 0.01 or less
where their rounding moves near ties alone (by AVX2 instead of AVX-512, sycl-compare gave the same four digits), more
where k-means may end in another minimum, as it does with another seed (repconc-warmup: nDCG@10 .357 to .375 over four)
and by AVX2 (repconc-stage1: nDCG@10 .488 for .499). `ARM: MEASURE` is of an arm, by its last evaluation; `on dev`,
without a line that evaluates, is what the training measured, over candidates or, where the passages stay, over the
corpus.

CPU seconds are of a machine that others used too: up to three times those of a quiet one.
This page is written from the recipes' [meta.reproduced] by `irctl recipes reproduce --page`.

| recipe | lines | figures | tolerance | CPU seconds |
|---|---|---|---|---|
{rows}
"""
