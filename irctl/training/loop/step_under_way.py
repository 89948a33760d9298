"""A stop that finds a long step under way: it is given up, and the state after the step before it is saved.

Schedulers kill half a minute after their signal (Slurm's KillWait), and a step can take minutes. Until the optimizer
steps, a step changes nothing that a checkpoint holds but buffers, random states and the method's own state; with copies
of these, made as a long step ends, a checkpoint is the one that would have been written then. A thread looks for the
stop file, for the main one may be in one long call of torch; it keeps the optimizer waiting while it saves, and ends
the process: trackers see a process that was killed, and go on with the run that continues it.

Of one process alone, and without DeepSpeed, which steps as it goes backward; others only say what they finish first.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from irctl.training.loop.save_and_stop import Flow

POLL_S = 1.0
PATIENCE_S = 10.0
"""How long a step may go on after it was asked to stop."""
LONG_S = 2.0
"""Steps of less are finished: nothing is copied at their end."""


@dataclass(frozen=True)
class StateCopy:
    """What the next step changes before the optimizer does. random: folder with the files of the random states."""

    buffers: dict[str, Tensor]
    method: dict[str, Any]
    random: Path


def copy_buffers(module: nn.Module) -> dict[str, Tensor]:
    """Those of a module's state that no optimizer steps, copied."""
    trained = {name for name, _ in module.named_parameters()}
    return {k: v.detach().clone() for k, v in module.state_dict().items() if k not in trained}


def leave() -> None:
    """End the process, whatever the main thread is in."""
    os._exit(0)


class StepUnderWay(TrainerCallback):
    """One of these per trainer.

    copy: makes a `StateCopy` of now. save: writes the checkpoint of the last step with one. tell: takes rows of the
    journal.
    """

    def __init__(
        self,
        flow: Flow,
        copy: Callable[[], StateCopy],
        save: Callable[[StateCopy], None],
        tell: Callable[..., None],
    ) -> None:
        self.flow, self.copy, self.save, self.tell = flow, copy, save, tell
        self.may_give_up = True
        self._lock = threading.Lock()  # held while a checkpoint is written, and to let the optimizer step
        self._ended = threading.Event()
        self._began: float | None = None  # monotonic seconds; None while no step is under way
        self._took = 0.0  # the last step; 0: none was timed yet
        self._step = self._saved = self._last = 0  # finished, in the newest checkpoint, of the whole training
        self._copies: StateCopy | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look for the stop file until the block ends."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._step = self._saved = state.global_step
        self._last = state.max_steps

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._began = time.monotonic()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        with self._lock:
            assert self._began is not None, "a step was begun"
            self._took, self._began = time.monotonic() - self._began, None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._step = state.global_step
        self._copies = self.copy() if self.may_give_up and self._took >= LONG_S else None

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._saved = state.global_step

    def _watch(self) -> None:
        while not self.flow.stop_file.exists():
            if self._ended.wait(POLL_S):
                return
        asked, is_told = time.monotonic(), False
        self.flow.look_at_once()
        while True:
            with self._lock:
                gives_up = self._gives_up(asked)
                if gives_up or not is_told:
                    self._say(gives_up)
                    is_told = True
                if gives_up:
                    return self._give_up()
            if self._ended.wait(POLL_S):
                return

    def _seconds_left(self) -> float | None:
        """Of the step under way, if it takes as long as the last one; None where no step tells."""
        if self._began is None or not self._took:
            return None
        return max(0.0, self._took - (time.monotonic() - self._began))

    def _gives_up(self, asked: float) -> bool:
        is_kept = self._copies is not None or self._saved == self._step
        if self._began is None or not self.may_give_up or not is_kept:
            return False
        return time.monotonic() - asked > PATIENCE_S or (self._seconds_left() or 0.0) > PATIENCE_S

    def _say(self, gives_up: bool) -> None:
        left = self._seconds_left()
        self.tell(
            "stopping",
            step=self._step + 1 if self._began is not None else None,
            seconds=None if left is None else round(left, 1),
            saved=self._saved,
            gives_up=gives_up,
        )

    def _give_up(self) -> None:
        """The lock is held: the step goes no further than its gradients."""
        if self._saved != self._step:
            assert self._copies is not None, "else it is not given up"
            self.save(self._copies)
        self.tell("stopped", step=self._step, steps=self._last)
        leave()
