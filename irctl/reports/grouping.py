"""What makes one row of a table: a system, whose seeds are averaged; or a run, or a trait such as the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from irctl import plugins
from irctl.errors import ConfigError
from irctl.reports.records import Record, keep_newest, label_rows

TRAITS = ("method", "loss", "model", "compression")
LEGAL = ("system", "run", *TRAITS)


def group(records: Sequence[Record], by: str, *, allow_mixed: bool = False) -> list[Record]:
    """The records with their rows renamed. by: empty or system (runs that differ only in the seed are one row), run
    (every evaluation by itself), or a trait (one row a method, loss, model or compression).

    Raises ConfigError where a trait's row would hold runs that differ in more than the seed, unless allow_mixed.
    """
    if by in ("", "system"):
        return list(records)
    if by not in LEGAL:
        raise ConfigError(f"--group-by {by}: expected {', '.join(LEGAL)}", hint=plugins.near(by, LEGAL))
    if by == "run":
        return [replace(r, system=f"{r.system} {r.run_id}", variant=r.run_id) for r in records]
    shown = keep_newest(records)
    labels = label_rows(shown)
    held: dict[str, dict[tuple[str, str], str]] = {}
    for r in shown:
        key = (r.system, r.variant)
        held.setdefault(_value(r, by), {})[key] = labels[key]
    for value, systems in held.items():
        if len(systems) > 1 and not allow_mixed:
            raise ConfigError(
                f"--group-by {by}: {value} stands for several systems: {', '.join(systems.values())}",
                hint="Name the runs to show with --run, or add --mixed for their mean",
            )
    # a mixed row counts each system and seed of it as one of its seeds
    numbers = {key: n for n, key in enumerate(dict.fromkeys((r.system, r.variant, r.seeds) for r in shown))}
    groups = []
    for r in shown:
        value = _value(r, by)
        renamed = replace(r, system=value, traits={})
        if len(held[value]) > 1:
            renamed = replace(renamed, variant="", seed=numbers[r.system, r.variant, r.seeds], code_seed=None)
        groups.append(renamed)
    return groups


def _value(r: Record, by: str) -> str:
    value = str(getattr(r, by))
    return (value.rstrip("/").rpartition("/")[2] if by == "model" else value) or "none"
