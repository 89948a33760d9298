"""How long a training takes, told once: when its first step, and the dev evaluation before it, have been timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from irctl.training.loop.save_and_stop import Times


class TimeLeft(TrainerCallback):
    """One of these per trainer. tell: takes the words of the journal's row `estimate`."""

    def __init__(self, times: Times, tell: Callable[..., None]) -> None:
        self.times, self.tell = times, tell
        self.evaluation_s: float | None = None  # of the last dev evaluation here
        self._began: float | None = None
        self._is_told = False

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._began is None:
            self._began = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._is_told or self._began is None:
            return
        self._is_told = True
        before = state.global_step - 1
        evaluations = self.times.evaluations(before, state.max_steps)
        seconds = (time.monotonic() - self._began) * (state.max_steps - before)
        if self.evaluation_s is not None:
            seconds += self.evaluation_s * (evaluations + (before == 0))
        self.tell(
            seconds=round(seconds, 3),
            step=before,
            steps=state.max_steps,
            evaluations="included" if self.evaluation_s is not None else "not counted" if evaluations else "",
        )
