"""What a worker's training has from its start to its end, handed on as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import transformers

from irctl.config import Config
from irctl.training.batch_plan import BatchPlan
from irctl.training.loop.step_under_way import StepUnderWay
from irctl.training.method import Context, Method
from irctl.training.run_files.journal import TrainingJournal

Build = Callable[[Config, Context], Method]


@dataclass(frozen=True)
class TrainingRun:
    """args: this process's place among the others. build: opens the method anew, where ZeRO-3 has sliced the first.

    under_way: sees to a stop while a step, or what comes before the first, is under way.
    """

    config: Config
    context: Context
    journal: TrainingJournal
    args: transformers.TrainingArguments
    build: Build
    under_way: StepUnderWay

    @property
    def plan(self) -> BatchPlan:
        return self.context.plan

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return bool(self.args.process_index == 0)
