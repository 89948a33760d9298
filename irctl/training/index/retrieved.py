"""Candidates that are retrieved while training: the top of the index now, then the labelled positives it misses.

Each process searches for its own queries and scores its own candidates; scores are gathered, and their gradient comes
home times W, so the average over processes is the gradient of one. The rows of all queries are known everywhere, and so
are labels and masks.

Two views of one list of candidates, each document once:
  own  every candidate with its grade: ranknet and lambdamrr, in which all labelled positives take part
  one  one labelled positive, drawn by (seed, epoch, query), against the retrieved; the other labelled positives are
       masked: infonce. Upstream of RepCONC v0.2 builds that mask and never applies it, and lists the drawn positive a
       second time: mask_positives=False does the same.
Positives that were not retrieved stand after all that were: an exact search leaves them no higher score.

Dimension key: B queries that share a loss, L of them on this process, k retrieved, P the most labelled positives of a
query of the batch, N = k + P + 1 columns, D vector width.
Source: Zhan et al. 2021, arXiv 2104.08051 (ADORE) and 2108.00644 (JPQ).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from irctl.data import draws
from irctl.data.groups.candidates import View
from irctl.training.index.fixed_index import FixedIndex
from irctl.training.method import Item
from irctl.training.objective.terms import Part
from irctl.training.parallel import gather
from irctl.training.scored_method import Scored

ONE = "one"
ONE_POSITIVE = ("infonce",)
"""Losses that compare one positive with the rest; others order all of them."""


class Judgements(NamedTuple):
    """What is known of a query. rows: judged ones, ascending, with their labels; own_row: its own document, or -1."""

    name: str
    rows_J: NDArray[np.int64]
    labels_J: NDArray[np.float32]
    own_row: int = -1


class GivesJudgements(Protocol):
    """Judgements of the training queries over the rows of an index. positive_from: the least label of a positive."""

    positive_from: float

    def known(self, query: int) -> Judgements: ...


class Candidates(NamedTuple):
    """rows_BN: of the index; a column that no view counts holds row 0."""

    rows_BN: NDArray[np.int64]
    own: tuple[NDArray[np.float32], NDArray[np.bool_]]  # labels, mask [B, N]
    one: tuple[NDArray[np.float32], NDArray[np.bool_]]


def with_views(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The terms of a loss, each told which of the two views it looks at."""
    return tuple(replace(part, view=ONE if part.name in ONE_POSITIVE else "own") for part in parts)


class Retrieved:
    """The candidates of one training. k: retrieved for each query, at most all rows but the query's own document."""

    def __init__(
        self, index: FixedIndex, labels: GivesJudgements, *, k: int, seed: int, mask_positives: bool = True
    ) -> None:
        self.index, self.labels = index, labels
        self.k, self.seed, self.mask_positives = min(k, index.rows), seed, mask_positives

    def score(self, queries_LD: Tensor, items: Sequence[Item], counts: Sequence[int]) -> Scored:
        """Scores [B, N] and views of a batch.

        queries_LD: of this process, which has a row of the first query where it has none of its own. counts: queries of
        each process.
        """
        rank, _ = gather.world()
        mine = gather.share(len(items), rank, len(counts)) or range(1)
        known = [self.labels.known(query) for query, _ in items]
        retrieved_LK = self._retrieve(queries_LD.detach(), [known[i] for i in mine])
        # float64 holds every row number; there is no gradient here
        everywhere_BK = gather.gather_rows(torch.from_numpy(retrieved_LK).double().to(queries_LD.device), counts)
        retrieved_BK = everywhere_BK.long().cpu().numpy()
        found = list_candidates(
            retrieved_BK, known, self.labels.positive_from, self._draw(items, known), self.mask_positives
        )
        rows_LN = torch.from_numpy(found.rows_BN[mine.start : mine.stop]).to(queries_LD.device)
        scores_BN = gather.gather_rows(self.index.scores(queries_LD, rows_LN), counts)
        views = {name: _view(*arrays, scores_BN.device) for name, arrays in (("own", found.own), (ONE, found.one))}
        return Scored(scores_BN, views)

    def _retrieve(self, queries_LD: Tensor, known: Sequence[Judgements]) -> NDArray[np.int64]:
        """Rows [L, k] without each query's own document; -1, for a list that is shorter by that, is never an index."""
        drops = any(q.own_row >= 0 for q in known)
        rows_LK: NDArray[np.int64] = self.index.search(queries_LD, self.k + drops).cpu().numpy()
        assert rows_LK.min(initial=0) >= 0
        out_Lk = np.full((len(rows_LK), self.k), -1, np.int64)
        for out_k, rows_K, query in zip(out_Lk, rows_LK, known, strict=True):
            others = rows_K[rows_K != query.own_row][: self.k]
            out_k[: len(others)] = others
        return out_Lk

    def _draw(self, items: Sequence[Item], known: Sequence[Judgements]) -> list[int]:
        """The row of one labelled positive of each query."""
        drawn = []
        for (_, epoch), query in zip(items, known, strict=True):
            positives = query.rows_J[query.labels_J >= self.labels.positive_from]
            word = int(draws.words(1, "positive", self.seed, epoch, query.name)[0])
            drawn.append(int(positives[word % len(positives)]))
        return drawn


def list_candidates(
    retrieved_Bk: NDArray[np.int64],
    known: Sequence[Judgements],
    positive_from: float,
    drawn: Sequence[int],
    mask_positives: bool = True,
) -> Candidates:
    """The k retrieved of every query (-1: none), its labelled positives not among them, and the two views of these."""
    B, k = retrieved_Bk.shape
    most = max((int((q.labels_J >= positive_from).sum()) for q in known), default=0)
    rows_BN = np.full((B, k + most + 1), -1, np.int64)
    rows_BN[:, :k] = retrieved_Bk
    labels_BN = np.zeros(rows_BN.shape, np.float32)
    one_BN, is_other_BN = np.zeros(rows_BN.shape, np.float32), np.zeros(rows_BN.shape, np.bool_)
    for b, query in enumerate(known):
        positives = query.rows_J[query.labels_J >= positive_from]
        missed = positives[~np.isin(positives, retrieved_Bk[b])]
        rows_BN[b, k : k + len(missed)] = missed
        labels_BN[b] = _labels_of(rows_BN[b], query)
        is_other_BN[b] = np.isin(rows_BN[b], positives) & (rows_BN[b] != drawn[b])
        one_BN[b] = np.where(rows_BN[b] == drawn[b], labels_BN[b], 0.0)
    own_BN = rows_BN >= 0
    mask_BN = own_BN & ~is_other_BN
    if not mask_positives:  # as upstream: all that was retrieved is negative, the drawn positive stands apart once more
        mask_BN = own_BN & (np.arange(rows_BN.shape[1]) < k)
        one_BN[:] = 0.0
        rows_BN[:, -1] = drawn
        one_BN[:, -1] = [_labels_of(np.array([row]), q)[0] for row, q in zip(drawn, known, strict=True)]
        mask_BN[:, -1] = True
    return Candidates(np.maximum(rows_BN, 0), (labels_BN, own_BN), (one_BN, mask_BN))


def _labels_of(rows_N: NDArray[np.int64], query: Judgements) -> NDArray[np.float32]:
    """The labels of rows [N], 0 for those that nobody judged."""
    if not len(query.rows_J):
        return np.zeros(len(rows_N), np.float32)
    place_N = np.searchsorted(query.rows_J, rows_N).clip(max=len(query.rows_J) - 1)
    return np.where(query.rows_J[place_N] == rows_N, query.labels_J[place_N], 0.0).astype(np.float32)


def _view(labels_BN: NDArray[np.float32], mask_BN: NDArray[np.bool_], device: torch.device) -> View:
    return View(torch.from_numpy(labels_BN).to(device), torch.from_numpy(mask_BN).to(device))
