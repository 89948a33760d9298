"""What every query of a loss batch is compared with: labels and masks over its passages, derived once and here.

The same on every process: it depends on integer rows that have been gathered, never on scores.
Dimension key: B queries that share a loss, N passages listed for them, K passages of the largest group.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from irctl.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from irctl.data.groups.group_source import GroupRows

Known = Sequence[Mapping[int, float]]
"""For each query of the batch: annotated passage row -> grade."""

VIEWS = ("own", "all", "masked")


@dataclass(frozen=True)
class View:
    """labels_BN float32, mask_BN bool, as losses take them; columns_BK: their places in scores_BN, own view only."""

    labels_BN: Tensor
    mask_BN: Tensor
    columns_BK: Tensor | None = None

    def scores(self, scores_BN: Tensor) -> Tensor:
        """The scores that labels and mask belong to."""
        return scores_BN if self.columns_BK is None else scores_BN.gather(1, self.columns_BK)

    def among(self, columns: int) -> Tensor:
        """True at its candidates among the batch's passages [B, columns]; of the own view only."""
        assert self.columns_BK is not None, "asked of the own view"
        none_BN = self.columns_BK.new_zeros((len(self.columns_BK), columns))
        return none_BN.scatter_add(1, self.columns_BK, self.mask_BN.long()) > 0


class ViewArrays(NamedTuple):
    """A view before it is tensors."""

    labels_BN: NDArray[np.float32]
    mask_BN: NDArray[np.bool_]
    columns_BK: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Listed:
    """The passages of a batch, group after group: row, label and owner (place of the query in the batch) of each.

    Groups may differ in size; a row of -1 is padding and never counts.
    """

    query_rows_B: NDArray[np.int64]
    passage_rows_N: NDArray[np.int64]
    labels_N: NDArray[np.float32]
    owner_N: NDArray[np.int64]

    @classmethod
    def of(cls, groups: Sequence[GroupRows]) -> Listed:
        """Groups in batch order: those of rank 0 first when they come from several processes."""
        sizes = [len(g.passage_rows_K) for g in groups]
        none = np.zeros(0, np.int64)
        return cls(
            np.asarray([g.query_row for g in groups], dtype=np.int64),
            np.concatenate([none, *(np.asarray(g.passage_rows_K, dtype=np.int64) for g in groups)]),
            np.concatenate([none, *(g.labels_K for g in groups)]).astype(np.float32),
            np.repeat(np.arange(len(groups)), sizes),
        )


class Columns:
    """Where passages stand in a batch, by bisection."""

    def __init__(self, passage_rows_N: NDArray[np.int64]) -> None:
        self._order_N = np.argsort(passage_rows_N, kind="stable")
        self._sorted_N = passage_rows_N[self._order_N]

    def copies(self) -> NDArray[np.int64]:
        """All but the first column of each passage."""
        return np.asarray(self._order_N[1:][self._sorted_N[1:] == self._sorted_N[:-1]])

    def of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(columns that hold one of these rows, which of them)."""
        low, high = np.searchsorted(self._sorted_N, rows), np.searchsorted(self._sorted_N, rows, side="right")
        which = np.repeat(np.arange(len(rows)), high - low)
        offsets = np.arange(len(which)) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
        return self._order_N[low[which] + offsets], which


def view_arrays(listed: Listed, inbatch: str, *, inbatch_label: float = 0.0, known: Known = ()) -> ViewArrays:
    """Labels and mask of every query over the batch.

    own: its own passages only, [B, K]. all: every passage, those of other queries labelled inbatch_label, nothing but
    padding masked. masked: as all, but another query's passage that is annotated for this one carries that grade
    (`known`), and a copy of a passage that this row already lists does not count; its own copy is the one that does.
    """
    if inbatch not in VIEWS:
        raise ConfigError(f"loss.inbatch: expected {', '.join(VIEWS)}, found {inbatch!r}")
    if inbatch == "own":
        return _own(listed)
    B, N = len(listed.query_rows_B), len(listed.passage_rows_N)
    labels_BN = np.full((B, N), inbatch_label, dtype=np.float32)
    mask_BN = np.tile(listed.passage_rows_N >= 0, (B, 1))
    if inbatch == "masked":
        _mark(labels_BN, mask_BN, listed, known)
    columns_N = np.arange(N)
    labels_BN[listed.owner_N, columns_N] = listed.labels_N
    # Own passages always count, repeated ones too: data.short=cycle repeats them to be counted again.
    mask_BN[listed.owner_N, columns_N] = listed.passage_rows_N >= 0
    return ViewArrays(labels_BN, mask_BN)


def _mark(labels_BN: NDArray[np.float32], mask_BN: NDArray[np.bool_], listed: Listed, known: Known) -> None:
    """Known grades and copies, in place. Cost: the annotated and own passages of a row, not its N columns."""
    columns = Columns(listed.passage_rows_N)
    mask_BN[:, columns.copies()] = False
    is_text_N = listed.passage_rows_N >= 0
    places, which = columns.of(listed.passage_rows_N[is_text_N])
    mask_BN[listed.owner_N[is_text_N][which], places] = False  # own columns are set back by the caller
    sizes = [len(grade_of) for grade_of in known[: len(labels_BN)]]
    if total := sum(sizes):
        rows = np.fromiter(itertools.chain.from_iterable(known[: len(sizes)]), np.int64, total)
        grades = np.fromiter(itertools.chain.from_iterable(k.values() for k in known[: len(sizes)]), np.float32, total)
        places, which = columns.of(rows)
        labels_BN[np.repeat(np.arange(len(sizes)), sizes)[which], places] = grades[which]


def _own(listed: Listed) -> ViewArrays:
    """Each query's passages side by side; short groups end in masked columns."""
    B = len(listed.query_rows_B)
    sizes = np.bincount(listed.owner_N, minlength=B)
    place_N = np.arange(len(listed.owner_N)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    shape = (B, int(sizes.max(initial=0)))
    labels_BK, mask_BK, columns_BK = np.zeros(shape, np.float32), np.zeros(shape, np.bool_), np.zeros(shape, np.int64)
    labels_BK[listed.owner_N, place_N] = listed.labels_N
    mask_BK[listed.owner_N, place_N] = listed.passage_rows_N >= 0
    columns_BK[listed.owner_N, place_N] = np.arange(len(listed.owner_N))
    return ViewArrays(labels_BK, mask_BK, columns_BK)
