"""Groups without the queries that choose the best checkpoint, and those queries: what is reported never chooses.

They are the queries of dev where the collection reports another split, else 2 % of the training queries, drawn by the
seed and taken out of the training. They are measured on the reduced corpus: judged documents and those that the
launcher has found nearest to each query, by the vectors that training starts from.
"""

from __future__ import annotations

import numpy as np

from irctl.config import Config
from irctl.data import draws
from irctl.data.collections.self_match import decide_self_match
from irctl.data.collections.training_source import JudgedSplit, TrainingSource
from irctl.data.groups.group_source import GroupSource
from irctl.paths import RunPaths
from irctl.training.groups import sources
from irctl.training.groups.sources import DevData
from irctl.training.index.judged import HeldOut, dev_of, held_out_size


def open_groups(config: Config, source: TrainingSource) -> tuple[GroupSource, HeldOut | None]:
    """(groups to train on, queries held out; None where eval.during=off or nothing can be held out)."""
    groups = sources.groups_of(config, source)
    if config.eval.during == "off" or not isinstance(source, JudgedSplit):
        return groups, None
    collection, split = source.collection, source.split
    if dev := dev_of(source):
        asked = collection.queries(dev)
        rule = decide_self_match(collection, dev, config.eval.self_match).rule
        return groups, HeldOut(dev, asked.ids, asked.texts, collection.qrels(dev), rule)
    count = held_out_size(len(groups))
    if not count:
        return groups, None
    chosen = np.sort(draws.order(len(groups), "held out", config.run.seed)[:count])
    rows = [int(groups.query_rows[number]) for number in chosen]
    ids, texts = [groups.query_id(row) for row in rows], groups.query_texts(rows)
    groups.without(chosen)
    qrels = collection.qrels(split)
    rule = decide_self_match(collection, split, config.eval.self_match).rule
    return groups, HeldOut(f"{count} of {split}", ids, texts, {q: qrels[q] for q in ids}, rule)


def reduced(config: Config, source: TrainingSource, held_out: HeldOut | None, paths: RunPaths) -> DevData | None:
    """What is measured during training: the reduced corpus, or all of it where eval.during=corpus."""
    if held_out is None or not isinstance(source, JudgedSplit):
        return None
    h, collection = held_out, source.collection
    if config.eval.during == "corpus":
        sources.check_dev_corpus(config, collection)
        return DevData(h.ids, h.texts, None, collection, h.split, h.qrels, h.self_match)
    candidates = sources.with_mined(h.ids, h.qrels, paths)
    return DevData(h.ids, h.texts, candidates, collection, h.split, h.qrels, h.self_match)
