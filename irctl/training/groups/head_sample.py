"""The texts that a projection head begins by, passages of the corpus and training queries, drawn by the seed; and where
what was fitted on them is kept. Of a corpus at most half is taken.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from irctl.config import Config
from irctl.data import draws
from irctl.data.collections.training_source import JudgedSplit, TrainingSource
from irctl.data.groups.group_source import GroupSource
from irctl.models.heads import Keep, Sample
from irctl.models.transforms import head_init
from irctl.models.transforms.head_init import Start
from irctl.paths import RunPaths
from irctl.training.parallel import gather

ROWS = 10_000
"""Of each at most: ten times the directions of most models, and minutes of encoding on a CPU."""


def draw_sample(config: Config, source: TrainingSource, groups: GroupSource) -> Sample:
    """The same on every process. Queries are those of the training alone, without ones held out."""
    seed = config.run.seed
    queries = groups.query_texts(groups.query_rows[_draw(len(groups), "head queries", seed)])
    if isinstance(source, JudgedSplit):
        corpus = source.collection.corpus
        return Sample(corpus.texts(_draw(len(corpus), "head", seed, most=-(-len(corpus) // 2))), queries)
    return Sample(groups.passage_texts(_draw(len(groups.passages), "head", seed)), queries)


def _draw(rows: int, *parts: object, most: int = ROWS) -> NDArray[np.int64]:
    """Row numbers, ascending; all where there are no more than ROWS.

    most: of a small corpus half, so that isotropy can be measured on the other.
    """
    return np.sort(draws.order(rows, *parts)[: min(most, ROWS)])


def kept_in(paths: RunPaths) -> Keep:
    """Fitted once a run, by the first process: the others, and the run when it goes on, take it from its folder."""

    def keep(key: str, make: Callable[[], Start]) -> Start:
        if gather.world()[0] == 0 and head_init.load(paths.head, key) is None:
            head_init.save(paths.head, make(), key)
        gather.barrier()
        return head_init.load(paths.head, key) or make()  # on another machine's disk

    return keep
