"""Opening what query groups come from: the collection's split, its negatives, its development split."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.config import Config
from irctl.data.collection import open_for
from irctl.data.groups import GroupSource, build_groups
from irctl.data.self_match import self_match
from irctl.errors import ConfigError, DataError
from irctl.paths import RunPaths

if TYPE_CHECKING:
    from irctl.data.collection import Collection

DEV = "dev"
LARGEST_DEV_CORPUS = 50_000
"""Documents that eval.during=corpus encodes at every evaluation."""


@dataclass(frozen=True)
class DevData:
    """Queries to measure on, with the documents to rank for each: ids of a row are None where the whole corpus is."""

    query_ids: list[str]
    query_texts: list[str]
    candidates: list[list[str]] | None
    collection: Any
    split: str
    self_match: str


def train_split(config: Config) -> str:
    """The split to train on."""
    return config.data.split or "train"


def collection_of(config: Config) -> Collection:
    """The collection that data.source names."""
    return open_for(config)


def groups_of(config: Config, collection: Any) -> GroupSource:
    """Training groups; data.negatives is a file by now, or none."""
    path = Path(config.data.negatives) if config.data.negatives not in ("", "none") else None
    if path is not None and not path.is_file():
        raise DataError(f"data.negatives={path}: no such file", hint="Mine one with irctl hardneg, or use none")
    return build_groups(collection, train_split(config), path, config)


def dev_split(config: Config, collection: Any) -> str | None:
    """The split that chooses the best checkpoint: dev, unless it is trained on or missing."""
    splits = collection.splits() if hasattr(collection, "splits") else ()
    return DEV if DEV in splits and train_split(config) != DEV else None


def dev_of(config: Config, collection: Any, paths: RunPaths) -> DevData | None:
    """What is measured during training, or None. Mined candidates come from the file that the launcher wrote down."""
    split = dev_split(config, collection)
    if config.eval.during == "off" or split is None:
        return None
    queries = collection.queries(split)
    rule = self_match(collection, split, config.eval.self_match).rule
    if config.eval.during == "corpus":
        if len(collection.corpus) > LARGEST_DEV_CORPUS:
            raise ConfigError(
                f"eval.during=corpus: {collection.name} has {len(collection.corpus)} documents; "
                f"at most {LARGEST_DEV_CORPUS} are encoded at every evaluation",
                hint="Use eval.during=candidates",
            )
        return DevData(queries.ids, queries.texts, None, collection, split, rule)
    mined = _mined(paths)
    qrels = collection.qrels(split)
    candidates = [list(dict.fromkeys([*qrels[q], *mined.get(q, ())])) for q in queries.ids]
    return DevData(queries.ids, queries.texts, candidates, collection, split, rule)


def _mined(paths: RunPaths) -> dict[str, list[str]]:
    if not paths.launch.is_file():
        return {}
    path = json.loads(paths.launch.read_text()).get("dev_negatives")
    if not path:
        return {}
    from irctl.data.negatives import read_negatives

    return {n.query_id: n.document_ids for n in read_negatives(Path(path))}
