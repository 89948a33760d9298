"""Which values of a training's loss can be compared: those of batches of equally many queries. Imports no torch.

The last batch of an epoch is often smaller, and most losses fall or rise with the number of candidates (ws2 by far).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from irctl.training.batch_plan import BatchPlan, StepPlan


@dataclass(frozen=True)
class Epochs:
    """How the steps of an epoch are filled. even: the first so many of each have equally many queries. logged: steps
    that a row of metrics.jsonl is the mean of.
    """

    steps: int
    even: int
    logged: int = 1

    @classmethod
    def of(cls, batches: BatchPlan, step_plan: StepPlan, queries: int, logged: int) -> Epochs:
        an_epoch = step_plan.steps_an_epoch
        return cls(an_epoch, an_epoch if queries <= batches.global_ else queries // batches.global_, logged)

    @classmethod
    def read(cls, events: Iterable[dict[str, Any]]) -> Epochs | None:
        """As the rows of a training say; None where they do not."""
        told = [row["epochs"] for row in events if row.get("event") == "plan" and "epochs" in row]
        return cls(**told[-1]) if told else None

    def as_dict(self) -> dict[str, int]:
        return asdict(self)

    def is_even(self, step: int) -> bool:
        """Whether every step whose mean the row at `step` holds has a full batch."""
        return all((s - 1) % self.steps < self.even for s in range(max(step - self.logged, 0) + 1, step + 1))

    def comparable(self, steps: Iterable[int]) -> set[int]:
        """Of logged steps, those of full batches alone; all where every mean holds some smaller one."""
        logged = set(steps)
        return {s for s in logged if self.is_even(s)} or logged


def means(losses: dict[int, float], epochs: Epochs) -> tuple[float, float] | None:
    """Mean loss of the first and of the last whole epoch, over full batches; None where there are no two such means.

    losses: by step, the mean over the steps since the row before.
    """
    last = max(losses, default=0) // epochs.steps
    ends = (epochs.steps, last * epochs.steps)
    found = [
        [v for s, v in losses.items() if end - epochs.steps + epochs.logged <= s <= end and epochs.is_even(s)]
        for end in ends
    ]
    if last < 2 or not all(found):
        return None
    first, latest = (sum(values) / len(values) for values in found)
    return first, latest
