"""The queries that negatives are mined for: those of one split, their judgements, and what is never mined for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from irctl.data.collections.training_source import train_split
from irctl.pipelines.hardneg.left_out import LeftOut
from irctl.types import Qrels

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection, Queries


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
