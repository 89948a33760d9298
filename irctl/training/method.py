"""What the trainer asks of a method: the one thing that differs between ways to train. A method holds no loop.

A method file (irctl/methods/NAME.py) has a class `Method`, a torch module whose forward is one loss batch, and a
literal `DEFAULTS` of the settings it prefers. Its parameters are what is trained and kept in checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from irctl.config import Config
from irctl.paths import RunPaths
from irctl.training.batch_plan import BatchPlan
from irctl.types import Reporter

Item = tuple[int, int]
"""(training query, epoch): what the sampler deals out."""


def unrecorded(event: str, **row: Any) -> None:
    """Where there is no journal."""


@dataclass(frozen=True)
class StepOutput:
    """loss: the whole batch's, equal on every process. parts: its terms, to log, without gradient.

    measures: of the batch, to log under their own names beside the loss; the same names in every step.
    """

    loss: Tensor
    parts: dict[str, Tensor]
    measures: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """Where a method is built: the run it belongs to. event: takes a row of its journal, from the first process."""

    plan: BatchPlan
    reporter: Reporter
    paths: RunPaths
    event: Callable[..., None] = unrecorded


class Method(Protocol):
    """Built once a process, after the process group exists."""

    queries: int  # training queries
    fingerprint: str  # of the training data: a checkpoint of other data is refused
    can_evaluate: bool  # whether there are queries to choose the best checkpoint by
    measured_on: str  # what the ledger calls those queries
    # saves_a_model_alone = True where `save` writes the model's folder and nothing else, so that it may be asked before
    # the end (train.epoch_models)

    @classmethod
    def build(cls, config: Config, context: Context) -> Method:
        """Open data and model. Raises ConfigError or DataError before any training."""
        ...

    def collate(self, items: list[Item]) -> dict[str, Any]:
        """The loss batch of these items, this process's share tokenised. Runs in loader workers, draws nothing."""
        ...

    def prepare(self, batches: list[dict[str, Any]]) -> None:
        """Look at the first loss batches before the first step, without training on them."""
        ...

    def step(self, batch: dict[str, Any]) -> StepOutput:
        """Loss of one batch, with gradient scaled for averaging over processes."""
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Optimizer groups: params, and weight_decay or lr where they differ from the settings."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Development scores of the current weights, nDCG@10 among them; asked of the first process only."""
        ...

    def inputs(self) -> list[dict[str, Any]]:
        """What was read, as rows for the ledger: kind, path, sha256, and what else it should know."""
        ...

    def state(self) -> dict[str, Any]:
        """JSON that a checkpoint keeps besides the parameters."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what state() gave."""
        ...

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the trained model; returns what the ledger should know of it (fingerprint, dim), if there is one, and
        as `artifacts` of what else was written.
        """
        ...
