"""What methods share whose loss is made of irctl/losses: they say how a batch is scored; the rest is here.

Dimension key: B queries that share a loss, N passages that each is compared with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from irctl.config import Config
from irctl.data import draws
from irctl.data.groups.candidates import View
from irctl.training.method import Context, Item, StepOutput
from irctl.training.objective.objective import Objective
from irctl.training.objective.regularization import Regularization
from irctl.training.objective.term import Rows, Term
from irctl.training.parallel.tensors import to_device

SAMPLED = 2048
"""Queries of the larger sample that a regularizer may ask for: more than the dimensions of any usual encoder."""
SAMPLED_AT_ONCE = 64


@dataclass(frozen=True)
class Scored:
    """The scores of a batch, what of them the losses look at, and further terms of the loss by name.

    measures: what else to log of the batch, without gradient. rows: what regularizers may see, as far as the training
    moves it: `queries`, and `passages`, the positives of each query.
    """

    scores_BN: Tensor
    views: Mapping[str, View]
    terms: Mapping[str, Term] = field(default_factory=dict)
    measures: Mapping[str, Tensor] = field(default_factory=dict)
    rows: Mapping[str, Rows] = field(default_factory=dict)


class ScoredMethod(nn.Module):
    """A method (irctl/training/method.py) but for its data and its model."""

    queries: int  # training queries
    measured_on = "dev"

    def __init__(self, objective: Objective, regularization: Regularization | None = None) -> None:
        super().__init__()
        self.objective, self.regularization = objective, regularization

    def score(self, batch: dict[str, Any]) -> Scored:
        """The scores of a loss batch, equal on every process. In training and, without gradient, before it."""
        raise NotImplementedError

    def score_before_training(self, batch: dict[str, Any]) -> tuple[Tensor, Mapping[str, View]]:
        """(scores_BN, views) of a batch for the objective to prepare by. A method may do without its model where
        `objective.measures` is false."""
        scored = self.score(batch)
        return scored.scores_BN, scored.views

    def collate(self, items: list[Item]) -> dict[str, Any]:
        """As in irctl/training/method.py."""
        raise NotImplementedError

    def step(self, batch: dict[str, Any]) -> StepOutput:
        scored = self.score(batch)
        total, values = self.objective(scored.scores_BN, scored.views)
        added, sizes = self.regularization(scored.rows) if self.regularization else ({}, {})
        for name, term in {**scored.terms, **added}.items():
            total = total + term.weight * term.value
            values[name] = term.value.detach()
        if self.regularization:
            self.regularization.finish_step(total, added, scored.rows)
        return StepOutput(total, values, {**scored.measures, **sizes})

    def prepare(self, batches: list[dict[str, Any]]) -> None:
        was_training = self.training
        self.eval()
        with torch.no_grad():
            scored = [self.score_before_training(batch) for batch in batches]
            if self.regularization and self.regularization.wants_sample:
                self.regularization.measure_sample(self._sample_rows(self.regularization.seed))
        self.train(was_training)
        self.objective.prepare(scored)

    def _sample_rows(self, seed: int) -> Iterator[Mapping[str, Rows]]:
        """The rows of many queries, in the order of an epoch, a batch at a time."""
        device = next(self.parameters()).device
        chosen = draws.queries_of_epoch(self.queries, seed, 0)[:SAMPLED].tolist()
        for start in range(0, len(chosen), SAMPLED_AT_ONCE):
            items = [(query, 0) for query in chosen[start : start + SAMPLED_AT_ONCE]]
            yield self.score(to_device(self.collate(items), device)).rows

    def state(self) -> dict[str, Any]:
        return {**self.objective.state(), **(self.regularization.state() if self.regularization else {})}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.objective.restore(state)
        if self.regularization:
            self.regularization.restore(state)


def regularization_of(config: Config, context: Context, *, is_unit: bool, dim: int) -> Regularization | None:
    """The regularizers of a run, None where it has none. is_unit, dim: as in Regularization."""
    made = Regularization(config, is_unit=is_unit, dim=dim, warn=context.reporter.warn, event=context.event)
    return made if made.terms else None


def optimizer_groups(parameters: Iterable[nn.Parameter], weight_decay: float, **more: Any) -> list[dict[str, Any]]:
    """Groups of the parameters that are trained: weight decay on matrices only. more: lr, where it is their own."""
    trained = [p for p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": weight_decay, **more},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0, **more},
    ]
    return [g for g in groups if g["params"]]
