"""From (query, epoch) pairs to a loss batch: labels of all its queries, tokens of this process's share.

Every process builds the same labels for the whole batch, because groups depend on (seed, query, epoch) alone; so only
vectors travel between processes, and texts are read for the share alone.

Dimension key: B queries that share a loss, K passages of a group, N passages of all groups in order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from irctl.data.groups.batch_views import KnownRows, ViewsOf, batch_views
from irctl.data.groups.candidates import View, ViewArrays
from irctl.data.groups.group_source import GroupRows, RowNumbers
from irctl.training.method import Item
from irctl.training.parallel import gather

Tokenise = Callable[[Sequence[str], str], Mapping[str, Tensor]]
"""(texts, "query" or "passage") -> padded features."""
ByRow = Callable[[RowNumbers, str], Mapping[str, Any]]
"""(rows of queries or passages, "query" or "passage") -> features."""


class TrainingGroups(KnownRows, Protocol):
    """Training groups: the same for any number of workers and processes."""

    @property
    def query_rows(self) -> RowNumbers: ...

    def __len__(self) -> int: ...
    def rows(self, index: int, epoch: int) -> GroupRows: ...
    def query_texts(self, rows: RowNumbers) -> list[str]: ...
    def passage_texts(self, rows: RowNumbers) -> list[str]: ...
    def passage_rows(self) -> RowNumbers: ...


class GroupBatches:
    """Collates; holds no open files or generators, so that data loader workers can have it.

    views: candidate views that the losses use; `own` is always built. micro: queries forwarded at once.
    guide: the tokeniser of a second model that looks at the same texts. views_of: what makes the views of groups.
    by_row: model inputs by row numbers and side, in place of tokenised texts. teacher: the same, for what every batch
    tells of its texts besides.
    """

    def __init__(
        self,
        source: TrainingGroups,
        tokenise: Tokenise,
        views: Collection[str],
        *,
        micro: int,
        inbatch_label: float = 0.0,
        guide: Tokenise | None = None,
        views_of: ViewsOf = batch_views,
        by_row: ByRow | None = None,
        teacher: ByRow | None = None,
    ) -> None:
        self.source, self.tokenise, self.guide, self.micro = source, tokenise, guide, micro
        self.by_row, self.teacher = by_row, teacher
        self.views, self.inbatch_label, self.views_of = sorted({"own", *views}), inbatch_label, views_of
        # asked here: a data loader worker does not belong to the process group
        self.rank, self.processes = gather.world()

    def __call__(self, items: list[Item]) -> dict[str, Any]:
        """chunks: features of at most `micro` queries and their passages each. counts: rows of every process."""
        groups = [self.source.rows(index, epoch) for index, epoch in items]
        shares = [gather.share(len(groups), rank, self.processes) for rank in range(self.processes)]
        mine = [groups[i] for i in shares[self.rank]]
        # a process without queries in a small last batch forwards one all the same: collectives wait for everyone
        chunked = [mine[i : i + self.micro] for i in range(0, len(mine), self.micro)] or [groups[:1]]
        views = self.views_of(self.source, groups, self.views, self.inbatch_label)
        batch = {
            "chunks": [self._inputs(chunk) for chunk in chunked],
            "query_counts": [len(rows) for rows in shares],
            "passage_counts": [sum(len(groups[i].passage_rows_K) for i in rows) for rows in shares],
            "views": {name: _tensors(arrays) for name, arrays in views.items()},
        }
        if self.guide is not None:
            batch["guide"] = [self._features(chunk, self.guide) for chunk in chunked]
        if self.teacher is not None:
            batch["teacher"] = [_rows(chunk, self.teacher) for chunk in chunked]
        return batch

    def _inputs(self, chunk: Sequence[GroupRows]) -> dict[str, Mapping[str, Any]]:
        return _rows(chunk, self.by_row) if self.by_row else self._features(chunk, self.tokenise)

    def _features(self, chunk: Sequence[GroupRows], tokenise: Tokenise) -> dict[str, Mapping[str, Any]]:
        passages = [row for g in chunk for row in g.passage_rows_K.tolist()]
        return {
            "query": dict(tokenise(self.source.query_texts([g.query_row for g in chunk]), "query")),
            "passage": dict(tokenise(self.source.passage_texts(passages), "passage")),
        }


def _rows(chunk: Sequence[GroupRows], by_row: ByRow) -> dict[str, Mapping[str, Any]]:
    passages = np.concatenate([g.passage_rows_K for g in chunk])
    return {"query": by_row([g.query_row for g in chunk], "query"), "passage": by_row(passages, "passage")}


def _tensors(arrays: ViewArrays) -> tuple[Tensor | None, ...]:
    return tuple(None if array is None else torch.from_numpy(array) for array in arrays)


def unpack_views(batch: Mapping[str, Any]) -> dict[str, View]:
    """The views of a batch, wherever its tensors are now."""
    return {name: View(*tensors) for name, tensors in batch["views"].items()}
