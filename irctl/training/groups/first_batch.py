"""How many negatives a query of the first loss batch has, counted in the views that its losses look at. No torch.

What is listed for a query (batch.loss x group - 1) is more than what counts: copies of a text count once, and for
losses with a threshold positives of the query that others list are no negatives.
Dimension key: B queries that share a loss, N passages listed for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irctl import plugins
from irctl.data import draws
from irctl.data.groups.batch_views import ViewsOf, batch_views
from irctl.training import batch_plan
from irctl.training.objective import regularizer_terms, terms
from irctl.training.objective.terms import Part

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.groups.candidates import ViewArrays
    from irctl.data.groups.group_source import GroupRows, GroupSource


@dataclass(frozen=True)
class NegativeCounts:
    """Means over the queries of a batch. listed: by groups and batch alone."""

    counted: float
    listed: float

    def line(self) -> str:
        less = self.listed - self.counted
        left_out = f" of {self.listed:.1f} listed: the rest are copies, or known positives" if less >= 0.05 else ""
        return f"{self.counted:.1f} negatives a query in the first loss batch{left_out}"


def lines(config: Config, source: GroupSource, views_of: ViewsOf = batch_views) -> dict[str, str]:
    """For each term of the loss, in words."""
    return describe(config, count_negatives(config, source, views_of))


def describe(config: Config, counted: Mapping[str, NegativeCounts]) -> dict[str, str]:
    """For each term of the loss, in words."""
    by_guide = ", before the guide drops any" if config.loss.guide else ""
    return {name: counts.line() + by_guide for name, counts in counted.items()}


def count_negatives(config: Config, source: GroupSource, views_of: ViewsOf = batch_views) -> dict[str, NegativeCounts]:
    """For each term of the loss."""
    parts = terms.parts(config, source.largest_grade)
    groups = _groups(config, source)
    views = views_of(source, groups, sorted({"own", *(part.view for part in parts)}), config.loss.inbatch_label)
    passages = sum(len(group.passage_rows_K) for group in groups)
    counts = {}
    for part in parts:
        view = views[part.view]
        listed = passages / len(groups) if part.view == "own" else float(passages)
        negatives_B = _negatives_B(part, view)
        if part.view != "own" and plugins.literal("losses", part.name, "NEEDS_OWN"):
            own_B = _negatives_B(part, views["own"])
            # a query without negatives of its own has the hardest of the others
            negatives_B, listed = np.where(own_B > 0, own_B, np.minimum(negatives_B, 1)), passages / len(groups)
        counts[part.name] = NegativeCounts(float(negatives_B.mean()), listed - 1)
    return counts


def count_rows(config: Config, source: GroupSource) -> dict[str, int]:
    """Queries, and positives of a query's own, that a regularizer sees."""
    groups = _groups(config, source)
    least = regularizer_terms.positive_from(config, source.labels, source.is_binary)
    positives = sum(int(((g.labels_K >= least) & (g.passage_rows_K >= 0)).sum()) for g in groups)
    return {"queries": len(groups), "passages": positives}


def _groups(config: Config, source: GroupSource) -> list[GroupRows]:
    queries = draws.queries_of_epoch(len(source), config.run.seed, 0)[: batch_plan.plan(config).loss]
    return [source.rows(int(query), 0) for query in queries]


def _negatives_B(part: Part, view: ViewArrays) -> NDArray[np.int64]:
    """Passages of each query [B] that count, but for positives where the loss knows them, else but for one."""
    if plugins.literal("losses", part.name, "LABELS") == "threshold":
        theta = part.settings.get("positive_threshold", 1.0)
        return np.asarray((view.mask_BN & (view.labels_BN < theta)).sum(1))
    return np.asarray(view.mask_BN.sum(1) - 1)
