"""What training groups are drawn from: one split of a collection, or a configuration of several sources (mqrel)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from irctl.data.collections.collection import Collection
from irctl.data.collections.mqrel import MqrelSource, open_mqrel
from irctl.data.collections.open import mqrel_file, open_for
from irctl.data.groups.group_source import GroupSettings, GroupSource, refuse_mined
from irctl.data.groups.merged_sources import JudgementSource, Merged
from irctl.data.judgements.qrels_store import Selection, open_qrels
from irctl.data.texts.store import TextPool

if TYPE_CHECKING:
    from irctl.config import Config


@dataclass(frozen=True)
class JudgedSplit:
    """The judgements of a split. negatives: a file of mined ones, labelled 0; a judgement of the same document wins."""

    collection: Collection
    split: str
    negatives: Path | None = None

    @property
    def name(self) -> str:
        return self.collection.name

    def groups(self, settings: GroupSettings) -> GroupSource:
        """Training groups. Reads the judgements and the negatives."""
        collection = self.collection
        queries, passages = TextPool([collection.query_store(self.split)]), TextPool([collection.corpus.store])
        qrels = collection.qrels_file(self.split)
        judged = JudgementSource("judged", queries, passages, open_qrels([qrels], queries, passages, Selection()))
        mined = []
        if self.negatives is not None:
            if settings.positive_from is None:
                refuse_mined(Merged([judged], queries, passages, "last").labels, str(qrels))
            zero = Selection(key={"label": 0.0}, label=lambda q, d, s: 0.0)
            store = open_qrels([self.negatives], queries, passages, zero)
            mined = [JudgementSource("mined", queries, passages, store, is_mined=True)]
        return GroupSource([*mined, judged], replace(settings, title_join=collection.corpus.title_join))


TrainingSource = JudgedSplit | MqrelSource


def train_split(config: Config) -> str:
    """The split to train on."""
    return config.data.split or "train"


def open_training_source(config: Config) -> TrainingSource:
    """What data.source names, for training. Its mined negatives, if any, are still to be named."""
    d = config.data
    if path := mqrel_file(d.source):
        return open_mqrel(path, root=d.root, title_join=d.title_join, fix_encoding=d.fix_encoding)
    return JudgedSplit(open_for(config), train_split(config))
