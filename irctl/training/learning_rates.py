"""Learning rates of parts of a training: train.base_lr for the model's base, train.projection_lr for its head and for
what a method adds, train.lr for all that has none of its own. Imports no torch.

A group of the optimizer says by `name` which part it is of; a part has two groups, with weight decay and without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError
from irctl.origins import CHOSEN, Kind, outranks

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.settings import Train

BASE, HEAD = "base", "head"
PREFIX = "lr."  # of a part's rate in metrics.jsonl
KEYS = {BASE: "base_lr", HEAD: "projection_lr"}
"""Setting of section train, by part."""


def own_rates(train: Train) -> dict[str, float]:
    """Peak learning rates by part, of the parts that have their own."""
    return {part: rate for part, name in KEYS.items() if (rate := float(getattr(train, name)))}


def check(config: Config, groups: Iterable[Mapping[str, Any]]) -> None:
    """ConfigError for a rate that somebody set and that no group of the optimizer takes.

    groups: with `name`, and `lr` where it is its own. A method's own preference is dropped where it does not apply.
    """
    found = list(groups)
    names = list(dict.fromkeys(str(g.get("name") or "others") for g in found))
    for part, name in KEYS.items():
        value, origin = getattr(config.train, name), config.origin(f"train.{name}")
        if value and part not in names and origin.kind is not Kind.METHOD:
            raise _unused(f"train.{name}={value:g} (from {origin})", part, names)
    origin = config.origin("train.lr")
    own = [config.origin(f"train.{KEYS[n]}") for n in names if n in KEYS]
    is_over = bool(found) and all("lr" in g for g in found) and bool(own)
    if is_over and origin.kind in CHOSEN and not all(outranks(o, origin) for o in own):
        raise _unused(f"train.lr={config.train.lr:g} (from {origin})", "others", names)


def _unused(what: str, part: str, names: list[str]) -> ConfigError:
    why = {
        BASE: "the base is frozen, or this method has no rate of its own for it",
        HEAD: "the model has no head (model.output_dim), and the method adds nothing",
    }
    return ConfigError(
        f"{what}: reaches no parameter: {why.get(part, 'every part has a rate of its own')}; trained: "
        f"{', '.join(names) or 'nothing'}",
        hint="Drop it",
    )


def logged(groups: Iterable[Mapping[str, Any]], first: float) -> dict[str, float]:
    """{lr.NAME: rate} of a step at which the first group's was `first`; empty where all parts go by one rate.

    groups: of the optimizer, with `initial_lr`, their peaks: one schedule is of all.
    """
    found = list(groups)
    peaks = {str(g["name"]): float(g["initial_lr"]) for g in found if g.get("name")}
    if len(set(peaks.values())) < 2:
        return {}
    peak = float(found[0]["initial_lr"])
    return {f"{PREFIX}{name}": own * (first / peak) if peak else 0.0 for name, own in peaks.items()}
