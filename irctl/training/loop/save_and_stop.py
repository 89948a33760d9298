"""When training evaluates, saves and stops: by epochs, steps or minutes, when dev stops rising, when asked.

A stop is asked for by a file, so that it reaches the worker without a signal that torchrun would turn into orphans. The
first process looks at most every five seconds, at a step's end, and tells the others: all save and stop together. What
happens to a step that takes longer than a scheduler waits is in step_under_way.py.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from irctl.ledger.files.identity import start_ticks
from irctl.training.parallel import gather

STOP_POLL_S = 5.0
NOTHING, SAVE, STOP = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Times:
    """When a training evaluates, saves and stops."""

    every: int  # steps between two checkpoints; 0: at the end of epochs
    minutes: float  # between two checkpoints at the most; 0: any
    patience: int  # evaluations without a better score; 0: any number
    evaluates: bool
    steps_an_epoch: int
    mines_every: int  # epochs after which negatives are mined again; 0: never
    saves_epochs: bool = False  # a checkpoint at each epoch's end, whatever `every` says

    def is_due(self, step: int, last: int) -> bool:
        """Whether a step ends in an evaluation and a checkpoint."""
        return step >= last or step % (self.every or self.steps_an_epoch) == 0

    def evaluations(self, after: int, last: int) -> int:
        """Dev evaluations at the steps after `after`."""
        return sum(self.is_due(step, last) for step in range(after + 1, last + 1)) if self.evaluates else 0


class Flow(TrainerCallback):
    """One of these per trainer; it follows transformers' own callback, and has the last word."""

    def __init__(self, stop_file: Path, times: Times) -> None:
        self.stop_file, self.times = stop_file, times
        self.evaluate: Callable[[], object] | None = None  # the trainer's own, once it is built
        self.is_stopped = False  # asked to, before the end
        self.mines = False  # the negatives are to be mined again before training goes on
        self._looked = -math.inf
        self._saved = time.monotonic()
        self._launcher = int(os.environ.get("IRCTL_LAUNCHER_PID", "0"))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        assert self.evaluate is not None
        if self.times.evaluates and state.global_step == 0:
            self.evaluate()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        ends_epoch = self._ends_epoch(state)
        last = state.global_step >= state.max_steps
        due = self.times.is_due(state.global_step, state.max_steps)
        # at an epoch's end on_epoch_end follows at once; saving here too would do the work twice
        control.should_evaluate = due and self.times.evaluates and not ends_epoch
        control.should_save = due and not ends_epoch
        word = self._word(args)
        if word == STOP and not last:
            self.is_stopped = True
            control.should_training_stop = True
        if word != NOTHING and not ends_epoch:
            control.should_save = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        due = self.times.is_due(state.global_step, state.max_steps)
        at_end = self._ends_epoch(state)  # not so when a stop or the last step broke off the epoch
        control.should_evaluate = due and at_end and self.times.evaluates
        epochs = state.global_step // self.times.steps_an_epoch
        self.mines = (
            bool(self.times.mines_every and at_end and epochs % self.times.mines_every == 0)
            and not self.is_stopped
            and state.global_step < state.max_steps
        )
        control.should_save = (due or self.is_stopped or self.mines or self.times.saves_epochs) and at_end
        if self.mines:
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._saved = time.monotonic()
        if not self.is_stopped and self.has_stalled(state.log_history):
            control.should_training_stop = True
            self.mines = False

    def look_at_once(self) -> None:
        """Look for the stop file at the next step's end, whenever the last look was."""
        self._looked = -math.inf

    def _word(self, args: TrainingArguments) -> int:
        """What all processes do now. Costs one small broadcast a step where there are several."""
        word = NOTHING
        if gather.world()[0] == 0:
            now = time.monotonic()
            if self.times.minutes and now - self._saved >= 60 * self.times.minutes:
                word = SAVE
            if now - self._looked >= STOP_POLL_S:
                self._looked = now
                if self.stop_file.exists() or self._is_orphan():
                    word = STOP
        return int(gather.from_first(word, args.device))

    def _is_orphan(self) -> bool:
        """True once the launcher has gone: nobody would record what this process does."""
        return bool(self._launcher) and Path("/proc").exists() and start_ticks(self._launcher) is None

    def _ends_epoch(self, state: TrainerState) -> bool:
        return state.global_step % self.times.steps_an_epoch == 0

    def has_stalled(self, history: list[dict[str, Any]]) -> bool:
        """True if none of the last `patience` evaluations beat those before. History is kept in checkpoints."""
        scores = [v for row in history if row["step"] > 0 for k, v in row.items() if k.startswith("dev_")]
        if not self.times.patience or len(scores) <= self.times.patience:
            return False
        return bool(max(scores[-self.times.patience :]) <= max(scores[: -self.times.patience]))
