"""Batch arithmetic: how a global batch is cut over devices and chunks, and how many steps there are. Imports no torch.

`batch.loss` queries share negatives; `batch.global` queries make a step, so global / loss losses are averaged. Every
device holds loss / devices queries of a loss and forwards them in chunks of at most `micro`, the last one smaller where
it does not divide: the gradient cache makes the chunks exact, so the number of negatives is batch.loss x group - 1 on
every machine, where a group is the mean number of passages in one as it is drawn. Accumulation adds none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from irctl.config import Config
from irctl.errors import ConfigError
from irctl.origins import COMMAND_LINE, outranks
from irctl.training.objective import terms


@dataclass(frozen=True)
class BatchPlan:
    """Whole numbers only; a plan that cannot be made whole is an error."""

    global_: int  # queries a step
    loss: int  # queries that share negatives
    micro: int  # queries a device forwards at once, at the most
    devices: int
    losses: int  # losses averaged in a step
    chunks: int  # chunks a device forwards for one loss
    accumulation: int  # chunks a device forwards for a step: losses x chunks
    negatives_per_query: int | None  # None where the groups' size is that of the data, and not known yet
    is_bound: bool  # the number is the most that the settings allow; the groups are not drawn yet

    @property
    def local(self) -> int:
        """Queries of one loss on one device."""
        return self.loss // self.devices

    def as_dict(self) -> dict[str, Any]:
        """The plan in the words of the settings, for --dry-run and the ledger."""
        return {
            "global": self.global_,
            "loss": self.loss,
            "devices": self.devices,
            "micro": self.micro,
            "chunks": self.chunks,
            "losses a step": self.losses,
            "accumulation": self.accumulation,
            "negatives_per_query": self._negatives(),
        }

    def _negatives(self) -> int | str:
        if self.negatives_per_query is None:
            return "by the data"
        return f"at most {self.negatives_per_query}" if self.is_bound else self.negatives_per_query


@dataclass(frozen=True)
class GroupSizes:
    """Of the data, once it is known. passages: of a group, in the mean; is_bound: at the most, if all are mined."""

    queries: int
    passages: float
    is_bound: bool = False


def plan(config: Config, sizes: GroupSizes | None = None) -> BatchPlan:
    """The batch plan of a configuration. sizes: None while they are not known; data.group_size is the most.

    Raises ConfigError with the nearest legal choices where global / loss or loss / devices is not whole.
    """
    devices, global_ = config.hardware.devices, config.batch.global_
    loss = config.batch.loss or global_
    if global_ % loss:
        _refuse(config, "batch.loss", f"batch.global={global_} is not a multiple of batch.loss={loss}", global_, [
            ("batch.loss", loss, lambda n: _fits(global_, n, devices)),
            ("batch.global", global_, lambda n: _fits(n, loss, devices)),
        ])  # fmt: skip
    if loss % devices:
        name = "batch.loss" if config.batch.loss else "batch.global"
        _refuse(config, name, f"{name}={loss} queries cannot be shared evenly by {devices} devices", loss, [
            (name, loss, lambda n: _fits(global_ if config.batch.loss else n, n, devices)),
            ("--devices", devices, lambda n: _fits(global_, loss, n)),
        ])  # fmt: skip
    micro = min(config.batch.micro or config.hardware.micro_batch, loss // devices)
    chunks = math.ceil(loss / devices / micro)
    return BatchPlan(
        global_=global_,
        loss=loss,
        micro=micro,
        devices=devices,
        losses=global_ // loss,
        chunks=chunks,
        accumulation=global_ // loss * chunks,
        negatives_per_query=_negatives_per_query(config, loss, sizes),
        is_bound=sizes is None or sizes.is_bound,
    )


def _fits(global_: int, loss: int, devices: int) -> bool:
    return not (global_ % loss or loss % devices)


def _negatives_per_query(config: Config, loss: int, sizes: GroupSizes | None) -> int | None:
    """Passages that a query is compared with, less one positive; None where groups are as large as the data has it."""
    passages = sizes.passages if sizes else config.data.group_size
    own_only = config.loss.inbatch == "own" or terms.own_only(config)
    queries = 1 if own_only else min(loss, sizes.queries if sizes else loss)
    return round(queries * passages - 1) if passages else None


def _refuse(
    config: Config, key: str, found: str, limit: int, choices: list[tuple[str, int, Callable[[int], bool]]]
) -> None:
    parts = []
    for name, value, legal in choices:
        below = next((n for n in range(value, 0, -1) if legal(n)), None)
        above = next((n for n in range(value, 4 * max(value, limit) + 1) if legal(n)), None)
        if near := sorted({n for n in (below, above) if n}):
            parts.append(f"{name}={' or '.join(map(str, near))}")
    origin = config.origin(key)
    hint = f"Nearest legal: {'; '.join(parts)}" if parts else "No change of one of them alone makes it whole"
    raise ConfigError(f"{found} (from {origin})", hint=hint)


@dataclass(frozen=True)
class StepPlan:
    """How long training takes."""

    losses_an_epoch: int  # the last one may be smaller; it is kept
    steps_an_epoch: int
    total: int
    warmup: int
    notice: str = ""  # what to say of a warm-up that was made shorter

    def as_dict(self) -> dict[str, Any]:
        return {"steps an epoch": self.steps_an_epoch, "steps": self.total, "warm-up steps": self.warmup}


def steps(config: Config, batches: BatchPlan, queries: int) -> StepPlan:
    """Steps of training on so many queries. Raises ConfigError if there is nothing to do."""
    losses = math.ceil(queries / batches.loss)
    an_epoch = math.ceil(losses / batches.losses)
    total = config.train.max_steps or math.ceil(config.train.epochs * an_epoch)
    if total < 1:
        raise ConfigError(
            f"train.epochs={config.train.epochs}: no step to take", hint="Set train.epochs or train.max_steps"
        )
    warmup, notice = _warmup(config, total)
    return StepPlan(losses, an_epoch, total, warmup if total > 1 else 0, notice)


def _warmup(config: Config, total: int) -> tuple[int, str]:
    """(steps that warm up, what to say of them). A recipe's or a file's warm-up that would not end before the training
    does is a tenth of the steps, and that is said; one that was typed is refused.
    """
    warmup = config.train.warmup_steps or warmup_steps(config.train.warmup_ratio, total)
    if warmup < total or total == 1:
        return warmup, ""
    origin = config.origin("train.warmup_steps")
    said = f"train.warmup_steps={warmup} (from {origin}): this training has {total} steps"
    if origin.kind in COMMAND_LINE:
        raise ConfigError(
            f"{said}, so the learning rate would never reach its peak",
            hint=f"Use at most {total - 1}, or train.warmup_steps=0 for a share of the steps (train.warmup_ratio)",
        )
    tenth = warmup_steps(0.1, total)
    return tenth, f"{said}; the warm-up takes a tenth of them, {tenth}"


def check_warmup(config: Config) -> None:
    """ConfigError where the warm-up is given twice, in steps and as a share, and neither stands above the other."""
    steps, ratio = (config.origins.get(f"train.warmup_{name}") for name in ("steps", "ratio"))
    if config.train.warmup_steps and steps and ratio and not outranks(steps, ratio):
        raise ConfigError(
            f"train.warmup_steps={config.train.warmup_steps} (from {steps}): excludes "
            f"train.warmup_ratio={config.train.warmup_ratio:g} (from {ratio})",
            hint="Drop one of them; train.warmup_steps=0 goes by the ratio",
        )


def warmup_steps(ratio: float, total: int) -> int:
    """ratio x total rounded up, but rounding never makes a short run warm up for more than a tenth of its steps.

    At most total - 1, so that the peak is reached.
    """
    wanted = math.ceil(round(ratio * total, 9))
    return max(0, min(wanted, max(total // 10, math.floor(ratio * total)), total - 1))


def save_every(config: Config, step_plan: StepPlan) -> int:
    """Steps between two checkpoints; 0: at every epoch's end. Raises ConfigError for other words."""
    text = config.train.save
    if text == "epoch":
        return 0
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if 0 < number < 1:
        return max(1, math.ceil(number * step_plan.total))
    if number < 1 or not number.is_integer():
        origin = config.origin("train.save")
        raise ConfigError(
            f"train.save: expected epoch, a number of steps, or a share below 1, found '{text}' (from {origin})",
            hint="For one checkpoint at the end: train.save=epoch",
        )
    return int(number)


def most_checkpoints(config: Config) -> int | None:
    """Checkpoints that a training writes at the most, so far as settings alone say, or None.

    That of a stop that somebody asks for is not counted. Raises ConfigError for words that train.save does not know.
    """
    train = config.train
    if train.save_minutes:  # at any step
        return train.max_steps or None
    if train.save == "epoch":
        return train.max_steps or math.ceil(train.epochs)
    every = save_every(config, StepPlan(1, 1, train.max_steps or 1, 0))
    if config.hardneg.every:  # one more before each time that negatives are mined
        return train.max_steps or None
    if train.max_steps:
        return math.ceil(train.max_steps / every)
    return math.ceil(1 / float(train.save)) if float(train.save) < 1 else None
