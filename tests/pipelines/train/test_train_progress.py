"""What a training shows while it runs, by the rows of its journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from irctl.pipelines.train.follow import MEASURE, Follow
from irctl.types import Silent


class Watching(Silent):
    """Keeps what its bars are told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int, str]] = []

    @contextmanager
    def bar(self, label: str, total: int | None, done: int = 0, *, unit: str = "") -> Iterator[Any]:
        assert (label, total, done, unit) == ("training", 60, 4, "step")
        yield lambda n=1, *, note="": self.told.append((n, note))


def test_loss_and_learning_rate_of_a_step_are_shown_as_they_come_and_steps_count_once() -> None:
    seen = Watching()
    run: Any = SimpleNamespace(artifact=None)
    with Follow(run, seen) as follow:
        follow({"event": "plan", "steps": 60, "step": 4})
        for step, loss in ((6, 0.25), (8, 0.125)):
            follow({"name": "loss", "value": loss, "step": step})
            follow({"name": "lr", "value": 1e-5 * step, "step": step})
            follow({"name": "grad_norm", "value": 3.0, "step": step})
        follow({"name": "loss", "value": 9.0, "step": 3})  # of an earlier start
        follow({"event": "evaluating"})
        follow({"name": MEASURE, "value": 0.75, "split": "dev", "step": 8})
    assert seen.told == [
        (2, "loss 0.2500"),
        (0, "loss 0.2500, lr 6.00e-05"),
        (2, "loss 0.1250, lr 6.00e-05"),
        (0, "loss 0.1250, lr 8.00e-05"),
        (0, "evaluating on dev"),
        (0, "loss 0.1250, lr 8.00e-05"),
    ]


def test_after_an_evaluation_before_the_first_step_that_step_is_under_way() -> None:
    """It went on to say that it evaluates, for as long as the step took."""
    seen = Watching()
    run: Any = SimpleNamespace(artifact=None)
    with Follow(run, seen) as follow:
        follow({"event": "plan", "steps": 60, "step": 4})
        follow({"event": "evaluating"})
        follow({"name": MEASURE, "value": 0.75, "split": "dev", "step": 4})
        follow({"event": "evaluating"})
        follow({"name": MEASURE, "value": 0.75, "split": "dev", "step": 9})  # its loss comes every tenth step
    assert seen.told == [
        (0, "evaluating on dev"),
        (0, "step 5 is under way"),
        (0, "evaluating on dev"),
        (0, "step 10 is under way"),
    ]
