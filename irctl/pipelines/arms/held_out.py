"""The splits of a collection that a group measures on: all that nothing is trained on, as one pool of queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irctl.data.collections.split_names import POOL
from irctl.errors import ConfigError

if TYPE_CHECKING:
    from irctl.config import Config

NAME = "held_out"
BRACE = "{held_out}"
USUAL = ("dev", "test")


def untrainable(config: Config) -> str:
    """Why nothing can be trained on judgements of this collection; empty where it can."""
    from irctl.data.collections.open import open_for
    from irctl.data.collections.training_source import train_split

    collection, trained = open_for(config), train_split(config)
    return "" if trained in collection.splits() else f"{collection.name} has no judged queries of split {trained}"


def splits(config: Config, *, is_check: bool = False) -> str:
    """dev+test, or what there is of them; where there is neither, every split but that of training.

    is_check: the usual name, without a look at the data. Raises ConfigError where all judged queries are trained on.
    """
    if is_check:
        return POOL.join(USUAL)
    from irctl.data.collections.open import open_for
    from irctl.data.collections.training_source import train_split

    collection, trained = open_for(config), train_split(config)
    others = [s for s in collection.splits() if s != trained]
    kept = [s for s in others if s in USUAL] or others
    if not kept:
        raise ConfigError(
            f"{collection.name}: no judged queries beside those of {trained}, on which nothing can be compared",
            hint="Add a split dev or test; irctl data check lists what there is",
        )
    return collection.split_named(POOL.join(kept))
