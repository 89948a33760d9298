"""Opening what query groups come from: the collection's split, its negatives, its development split."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.config import Config
from irctl.data.collections.self_match import self_match
from irctl.data.groups import positives
from irctl.data.groups.group_source import GroupSource, Settings, refuse_mined
from irctl.data.groups.merged_sources import Merged, Source
from irctl.data.judgements.qrels_store import Selection, open_qrels
from irctl.data.texts.store import TextPool
from irctl.errors import ConfigError, DataError
from irctl.paths import RunPaths

if TYPE_CHECKING:
    from irctl.data.collections.collection import Collection

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


def check_dev_corpus(config: Config, collection: Any) -> None:
    """ConfigError where eval.during=corpus would encode more than an evaluation may take."""
    if config.eval.during == "corpus" and len(collection.corpus) > LARGEST_DEV_CORPUS:
        raise ConfigError(
            f"eval.during=corpus: {collection.name} has {len(collection.corpus)} documents; "
            f"at most {LARGEST_DEV_CORPUS} are encoded at every evaluation",
            hint="Use eval.during=candidates",
        )


def dev_of(config: Config, collection: Any, paths: RunPaths) -> DevData | None:
    """What is measured during training, or None. Mined candidates come from the file that the launcher wrote down."""
    split = dev_split(config, collection)
    if config.eval.during == "off" or split is None:
        return None
    queries = collection.queries(split)
    rule = self_match(collection, split, config.eval.self_match).rule
    if config.eval.during == "corpus":
        check_dev_corpus(config, collection)
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
    from irctl.data.judgements.negatives import read_negatives

    return {n.query_id: n.document_ids for n in read_negatives(Path(path))}


def build_groups(collection: Collection, split: str, negatives_path: Path | None, config: Config) -> GroupSource:
    """The groups of a collection's split, with mined negatives labelled 0; or of a mqrel configuration.

    Judgements win over negatives of the same document. Where the run wants one positive a group (data.binary), it is
    one from loss.positive_threshold up; the rest and the mined ones are negatives.
    """
    from irctl.data.collections.mqrel import MqrelCollection

    d = config.data
    named = {f.name: getattr(d, f.name) for f in fields(Settings) if f.name not in ("seed", "positive_from")}
    settings = Settings(**named, seed=config.run.seed, positive_from=positives.asked(config))
    if isinstance(collection, MqrelCollection):  # has its own sources
        return collection.groups(settings)
    queries, passages = TextPool([collection.query_store(split)]), TextPool([collection.corpus.store])
    settings = replace(settings, title_join=collection.corpus.title_join)

    qrels = collection.qrels_file(split)
    judged = Source("judged", queries, passages, open_qrels([qrels], queries, passages, Selection()))
    mined = []
    if negatives_path is not None:
        if settings.positive_from is None:
            refuse_mined(Merged([judged], queries, passages, "last").labels, str(qrels))
        zero = Selection(key={"label": 0.0}, label=lambda q, d, s: 0.0)
        store = open_qrels([negatives_path], queries, passages, zero)
        mined = [Source("mined", queries, passages, store, is_mined=True)]
    return GroupSource([*mined, judged], settings)
