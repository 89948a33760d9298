"""What an arm of a group is set to, as its own command lines resolve it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from irctl import config as schema
from irctl import profiles, recipes_index
from irctl.origins import CHOSEN

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.pipelines.arms.asked import Asked

MOST_NAMES = 4
"""Arms of one value that are named; more are counted."""


def settings_of(config: Config, asked: Asked, arm: str) -> Config:
    """The settings of an arm: the profile's for its method, its own, above them what was typed or is in --config."""
    if not arm:
        return config
    layer = recipes_index.layer(f"{asked.recipe}:{arm}", tiny=asked.tiny)
    high = {k: (v, config.origin(k)) for k, v in config.flat().items() if config.origin(k).kind in CHOSEN}
    method = schema.resolve(layer, high).train.method
    return schema.resolve(profiles.layer(asked.profile, method), layer, high)


def lines(config: Config, asked: Asked, arms: Sequence[str]) -> list[str]:
    """Every setting of these arms that is no default, a line a value: where from, and of which arms if not of all."""
    of_arm = {arm: settings_of(config, asked, arm) for arm in arms}
    flat = {arm: own.flat() for arm, own in of_arm.items()}
    found: list[str] = []
    for key in dict.fromkeys(k for values in flat.values() for k in values):
        said: dict[str, dict[str, str]] = {}  # where each arm has a value from
        for arm, own in of_arm.items():
            if key in own.origins:
                said.setdefault(repr(flat[arm][key]), {})[arm] = str(own.origin(key)).removesuffix(f" [{arm}]")
        for value, origins in said.items():
            first, *others = dict.fromkeys(origins.values())
            line = f"{key} = {value}  ({first}{f' and {len(others)} others' if others else ''})"
            found.append(line if len(origins) == len(of_arm) else f"{line}: {_names(list(origins))}")
    return found


def _names(arms: Sequence[str]) -> str:
    return ", ".join(arms) if len(arms) <= MOST_NAMES else f"{len(arms)} arms, such as {arms[0]}"
