"""Training queries against an index that stays: embedded by a query side, candidates retrieved and judged, compared.

What else is trained (centroids) is registered as an attribute and added to `parameter_groups`.

Dimension key: L queries of this process, Q queries, D vector width.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor

from irctl.config import Config
from irctl.paths import RunPaths
from irctl.training.index import full_index_score
from irctl.training.index.fixed_index import FixedIndex
from irctl.training.index.judged import HeldOut, JudgedQueries
from irctl.training.index.retrieved import Retrieved, with_views
from irctl.training.method import Context, Item
from irctl.training.objective import terms
from irctl.training.objective.objective import Objective
from irctl.training.objective.regularization import Regularization
from irctl.training.objective.term import Rows
from irctl.training.parallel import gather
from irctl.training.scored_method import Scored, ScoredMethod


class QuerySide(Protocol):
    """How queries become vectors: a torch module, called with what it collated."""

    def collate(self, numbers: Sequence[int]) -> Any: ...
    def __call__(self, collated: Any) -> Tensor: ...
    def held_out(self) -> Tensor:
        """Vectors [Q, D] of the held-out queries."""
        ...


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a training on judged queries against an index is made of.

    ids: documents by row of the index. fingerprint: of the data.
    """

    queries: JudgedQueries
    held_out: HeldOut | None
    ids: Sequence[str]
    objective: Objective
    seed: int
    fingerprint: str


def objective_of(config: Config, context: Context, queries: JudgedQueries) -> Objective:
    """The losses over retrieved candidates."""
    return Objective(
        with_views(terms.parts(config, queries.labels.largest)),
        learn_temperature=config.loss.learn_temperature,
        warn=context.reporter.warn,
    )


def launched(paths: RunPaths) -> dict[str, Any]:
    """What the launcher wrote down for its workers."""
    return dict(json.loads(paths.launch.read_text())) if paths.launch.is_file() else {}


class RetrievingMethod(ScoredMethod):
    """A method (irctl/training/method.py) over retrieved candidates, but for what it saves. k: retrieved a query."""

    def __init__(
        self,
        judged: Judged,
        side: QuerySide,
        index: FixedIndex,
        *,
        k: int,
        mask_positives: bool = True,
        regularization: Regularization | None = None,
    ) -> None:
        super().__init__(judged.objective, regularization)
        self.judged, self.side, self.index = judged, side, index
        self.candidates = Retrieved(index, judged.queries, k=k, seed=judged.seed, mask_positives=mask_positives)
        self.queries, self.fingerprint = len(judged.queries), judged.fingerprint
        self.can_evaluate = judged.held_out is not None
        if judged.held_out:
            self.measured_on = judged.held_out.split
        # asked here: a data loader worker does not belong to the process group
        self._rank, self._processes = gather.world()

    def collate(self, items: list[Item]) -> dict[str, Any]:
        shares = [gather.share(len(items), rank, self._processes) for rank in range(self._processes)]
        mine = shares[self._rank] or range(1)  # one where it has none: collectives wait for everyone
        collated = self.side.collate([items[i][0] for i in mine])
        return {"queries": collated, "items": items, "query_counts": [len(rows) for rows in shares]}

    def score(self, batch: dict[str, Any]) -> Scored:
        queries_LD, counts = self.side(batch["queries"]), batch["query_counts"]
        scored = self.candidates.score(queries_LD, batch["items"], counts)
        if not self.regularization:
            return scored
        return replace(scored, rows={"queries": Rows(gather.gather_rows(queries_LD, counts), local_LD=queries_LD)})

    def evaluate(self) -> dict[str, float]:
        held_out = self.judged.held_out
        assert held_out is not None, "asked only where can_evaluate"
        return full_index_score.measure(held_out, self.side.held_out(), self.index, self.judged.ids)

    def about(self) -> dict[str, Any]:
        """What the objective learned or measured, for what is saved."""
        learned = self.objective.learned_settings()
        return {"temperatures": self.objective.current(), **({"learned": learned} if learned else {})}
