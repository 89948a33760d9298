"""Opening what query groups come from: the collection's split, its negatives, its development split."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from irctl.config import Config
from irctl.data.collections.self_match import decide_self_match
from irctl.data.collections.training_source import JudgedSplit, TrainingSource
from irctl.data.groups import positives
from irctl.data.groups.group_source import GroupSettings, GroupSource
from irctl.errors import ConfigError, DataError
from irctl.paths import RunPaths

if TYPE_CHECKING:
    from irctl.data.collections.collection import Collection
    from irctl.types import Qrels

DEV = "dev"
LARGEST_DEV_CORPUS = 50_000
"""Documents that eval.during=corpus encodes at every evaluation."""


@dataclass(frozen=True)
class DevData:
    """Queries to measure on, with the documents to rank for each: ids of a row are None where the whole corpus is."""

    query_ids: list[str]
    query_texts: list[str]
    candidates: list[list[str]] | None
    collection: Collection
    split: str  # what the ledger calls them
    qrels: Qrels
    self_match: str

    def documents(self) -> tuple[Sequence[str], list[int]]:
        """(ids, rows of the corpus) of the documents that any query needs."""
        corpus = self.collection.corpus
        if self.candidates is None:
            return corpus.ids, list(range(len(corpus)))
        ids = list(dict.fromkeys(d for listed in self.candidates for d in listed))
        return ids, [corpus.row(d) for d in ids]

    def document_texts(self) -> list[str]:
        return self.collection.corpus.texts(self.documents()[1])


def groups_of(config: Config, source: TrainingSource) -> GroupSource:
    """Training groups; data.negatives is a file by now, or none.

    Where the run wants one positive a group (data.binary), it is one from loss.positive_threshold up; the rest and the
    mined ones are negatives.
    """
    d = config.data
    if isinstance(source, JudgedSplit) and d.negatives not in ("", "none"):
        if not Path(d.negatives).is_file():
            raise DataError(
                f"data.negatives={d.negatives}: no such file", hint="Mine one with irctl hardneg, or use none"
            )
        source = replace(source, negatives=Path(d.negatives))
    named = {f.name: getattr(d, f.name) for f in fields(GroupSettings) if f.name not in ("seed", "positive_from")}
    return source.groups(
        GroupSettings(**named, seed=config.run.seed, positive_from=positives.threshold_asked_for(config))
    )


def dev_split(source: TrainingSource) -> str | None:
    """The split that chooses the best checkpoint: dev, unless it is trained on or missing."""
    has_dev = isinstance(source, JudgedSplit) and source.split != DEV and DEV in source.collection.splits()
    return DEV if has_dev else None


def check_dev_corpus(config: Config, collection: Collection) -> None:
    """ConfigError where eval.during=corpus would encode more than an evaluation may take."""
    if config.eval.during == "corpus" and len(collection.corpus) > LARGEST_DEV_CORPUS:
        raise ConfigError(
            f"eval.during=corpus: {collection.name} has {len(collection.corpus)} documents; "
            f"at most {LARGEST_DEV_CORPUS} are encoded at every evaluation",
            hint="Use eval.during=candidates",
        )


def dev_of(config: Config, source: TrainingSource, paths: RunPaths) -> DevData | None:
    """What is measured during training, or None. Mined candidates come from the file that the launcher wrote down."""
    split = dev_split(source)
    if config.eval.during == "off" or split is None or not isinstance(source, JudgedSplit):
        return None
    collection = source.collection
    queries = collection.queries(split)
    rule = decide_self_match(collection, split, config.eval.self_match).rule
    if config.eval.during == "corpus":
        check_dev_corpus(config, collection)
        return DevData(queries.ids, queries.texts, None, collection, split, collection.qrels(split), rule)
    qrels = collection.qrels(split)
    return DevData(queries.ids, queries.texts, with_mined(queries.ids, qrels, paths), collection, split, qrels, rule)


def with_mined(query_ids: list[str], qrels: Qrels, paths: RunPaths) -> list[list[str]]:
    """Judged documents of each query, and those of the file that the launcher wrote down."""
    mined = _mined(paths)
    return [list(dict.fromkeys([*qrels[q], *mined.get(q, ())])) for q in query_ids]


def _mined(paths: RunPaths) -> dict[str, list[str]]:
    if not paths.launch.is_file():
        return {}
    path = json.loads(paths.launch.read_text()).get("dev_negatives")
    if not path:
        return {}
    from irctl.data.judgements.negatives import read_negatives

    return {n.query_id: n.document_ids for n in read_negatives(Path(path))}
