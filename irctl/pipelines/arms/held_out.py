"""The splits of a collection that a group measures on.

{held_out}: all that nothing is trained on, as one pool of queries. {each_split}: those that are reported on, apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from irctl.data.collections.split_names import POOL
from irctl.errors import ConfigError

if TYPE_CHECKING:
    from irctl.config import Config

NAMES = ("held_out", "each_split")
USUAL = ("dev", "test")


def untrainable(config: Config) -> str:
    """Why nothing can be trained on judgements of this collection; empty where it can."""
    from irctl.data.collections.open import open_for
    from irctl.data.collections.training_source import train_split

    collection, trained = open_for(config), train_split(config)
    return "" if trained in collection.splits() else f"{collection.name} has no judged queries of split {trained}"


def fill(step: str, config: Config, *, is_check: bool = False) -> str:
    """A step with the splits that its braces stand for."""
    for name, of in zip(NAMES, (splits, each), strict=True):
        if f"{{{name}}}" in step:
            step = step.replace(f"{{{name}}}", of(config, is_check=is_check))
    return step


def each(config: Config, *, is_check: bool = False) -> str:
    """dev,test and the TREC Deep Learning tracks, or what there is of them, for results of their own.

    Raises what `splits` raises where there is none of them and nothing else.
    """
    if is_check:
        return ",".join(USUAL)
    from irctl.data.collections.msmarco import TRACK_MEASURES
    from irctl.data.collections.open import open_for

    collection = open_for(config)
    tracks = [s for s in collection.splits() if collection.card.measures.get(s) == TRACK_MEASURES]
    found = [s for s in USUAL if s in collection.splits()]
    return ",".join(dict.fromkeys([*found, *tracks])) or splits(config)


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
