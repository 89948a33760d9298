"""The queries that negatives are mined for: those of one split, their judgements, and what is never mined for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irctl.data.collections.split_names import ALL, POOL
from irctl.data.collections.training_source import train_split
from irctl.errors import ConfigError
from irctl.pipelines.hardneg.left_out import LeftOut
from irctl.types import Qrels

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection, Queries


EVALUATED = re.compile(r"(dev|test|val|eval|trec|dl)(\W|_|\d|$).*|(valid|validation|evaluation)(\W|_|\d|$).*")
"""Names of splits that numbers are reported on: dev, dev.small, test2019, trec19, dl20."""


def refuse_evaluated(config: Config, collection: Collection) -> None:
    """ConfigError for a split that the collection's numbers are reported on: its judgements would be trained on.

    The original's instructions mine on dev (RepCONC; DRhard, issue 24).
    """
    name = train_split(config)
    parts = collection.splits() if name == ALL else tuple(s.strip() for s in name.split(POOL))
    headline = collection.card.headline_split
    found = next((s for s in parts if not s.startswith("train") and (s == headline or EVALUATED.fullmatch(s))), None)
    if found is not None:
        raise ConfigError(
            f"hardneg: {collection.name}/{found} is a split that is evaluated; training on its judgements makes its "
            "numbers worthless",
            hint="Mine for --split train, or add --force",
        )


@dataclass(frozen=True)
class MiningSplit:
    """A split of a collection, opened."""

    collection: Collection
    name: str
    queries: Queries
    qrels: Qrels
    left_out: LeftOut


def open_split(config: Config, collection: Collection) -> MiningSplit:
    name = train_split(config)
    left_out = LeftOut(collection, name, config.hardneg.keep_annotated, config.eval.self_match)
    return MiningSplit(collection, name, collection.queries(name), collection.qrels(name), left_out)
