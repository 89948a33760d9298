"""A stop that finds a long step under way: it is given up, and the state after the step before it is saved.

Schedulers kill half a minute after their signal (Slurm's KillWait), and a step can take minutes. Until the optimizer
steps, a step changes nothing that a checkpoint holds but buffers, random states and the method's own state; with copies
of these, made as a long step ends, a checkpoint is the one that would have been written then. A thread looks for the
stop file, for the main one may be in one long call of torch; it keeps the optimizer waiting while it saves, and ends
the process. Trackers go on where the training does.

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

POLL_S = 1.0
PATIENCE_S = 10.0
"""How long a step may go on after it was asked to stop."""
CLOSE_S = 3.0
"""How long trackers have to hear of it."""
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
    """One of these per training. Before the first step nothing is done that the next start would miss: it ends at once.

    tell: takes rows of the journal. close: tells trackers that the process ends.
    """

    def __init__(
        self, stop_file: Path, tell: Callable[..., None], close: Callable[[], None], *, may_give_up: bool
    ) -> None:
        self.stop_file, self.tell, self.close, self.may_give_up = stop_file, tell, close, may_give_up
        self._copy: Callable[[], StateCopy] | None = None
        self._save: Callable[[StateCopy], None] | None = None
        self._asked: Callable[[], None] | None = None
        self._lock = threading.Lock()  # held while a checkpoint is written, and to let the optimizer step
        self._ended = threading.Event()
        self._is_preparing = True
        self._began: float | None = None  # monotonic seconds; None while no step is under way
        self._took = 0.0  # the last step; 0: none was timed yet
        # finished, in the newest checkpoint; None: another process may still write one
        self._step: int | None = None
        self._saved: int | None = None
        self._last: int | None = None  # of the whole training, once that is known
        self._copies: StateCopy | None = None

    def attach(
        self, copy: Callable[[], StateCopy], save: Callable[[StateCopy], None], asked: Callable[[], None]
    ) -> StepUnderWay:
        """This, for a trainer. copy: makes a `StateCopy` of now. save: writes the checkpoint of the last step with one.

        asked: called when a stop was asked for.
        """
        self._copy, self._save, self._asked = copy, save, asked
        return self

    def continues(self, step: int) -> None:
        """The training is this process's own, and goes on after this step, 0 for none."""
        with self._lock:
            self._step = self._saved = step

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look for the stop file until the block ends, or the training (`end`)."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.end()
            thread.join()

    def end(self) -> None:
        """The steps are over: what follows is finished."""
        with self._lock:
            self._ended.set()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._step = self._saved = state.global_step
        self._last = state.max_steps

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._began, self._is_preparing = time.monotonic(), False

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        with self._lock:
            assert self._began is not None, "a step was begun"
            self._took, self._began = time.monotonic() - self._began, None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._step = state.global_step
        self._copies = self._copy() if self._copy and self.may_give_up and self._took >= LONG_S else None

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._saved = state.global_step

    def _watch(self) -> None:
        while not self.stop_file.exists():
            if self._ended.wait(POLL_S):
                return
        asked, is_told = time.monotonic(), False
        while not self._ended.is_set():
            if self._asked:
                self._asked()
            with self._lock:
                gives_up = self._gives_up(asked)
                if gives_up or not is_told:
                    self._say(gives_up)
                    is_told = True
                if gives_up and self._is_saved():
                    return self._leave()
            self._ended.wait(POLL_S)

    def _seconds_left(self) -> float | None:
        """Of the step under way, if it takes as long as the last one; None where no step tells."""
        if self._began is None or not self._took:
            return None
        return max(0.0, self._took - (time.monotonic() - self._began))

    def _may_give_up(self) -> bool:
        return self.may_give_up and (self._copies is not None or self._saved == self._step)

    def _gives_up(self, asked: float) -> bool:
        if self._ended.is_set() or not self._may_give_up():
            return False
        if self._began is None:
            return self._is_preparing
        return time.monotonic() - asked > PATIENCE_S or (self._seconds_left() or 0.0) > PATIENCE_S

    def _say(self, gives_up: bool) -> None:
        left = self._seconds_left()
        has_patience = self._began is not None and not gives_up and self._may_give_up()
        self.tell(
            "stopping",
            step=None if self._began is None or self._step is None else self._step + 1,
            prepares=self._is_preparing,
            seconds=None if left is None else round(left, 1),
            saved=self._saved,
            gives_up=gives_up,
            patience=PATIENCE_S if has_patience else None,
        )

    def _is_saved(self) -> bool:
        """Save the state before the step under way, unless that was. False, and said, where it cannot be.

        The lock is held: the step goes no further than its gradients.
        """
        if self._saved == self._step:
            return True
        assert self._copies is not None and self._save is not None, "else it is not given up"
        try:
            self._save(self._copies)
        except Exception as e:  # noqa: BLE001  a full disk in any of the libraries' words; the step goes on, and may fit
            self.may_give_up = False
            self.tell(
                "warn",
                message=f"the state after step {self._step} cannot be saved ({e}): the next is finished first",
            )
            return False
        return True

    def _leave(self) -> None:
        self.tell("stopped", step=self._step, steps=self._last)
        closing = threading.Thread(target=self.close, daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        leave()
