"""Batch arithmetic: how a global batch is cut over devices and chunks, and how many steps there are. Imports no torch.

`batch.loss` queries share negatives; `batch.global` queries make a step, so global / loss losses are averaged. Every
device holds loss / devices queries of a loss and forwards them in chunks of `micro`: the gradient cache makes the
chunks exact, so the number of negatives is batch.loss x group - 1 on every machine, where a group is the
mean number of passages in one as it is drawn. Accumulation adds none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from irctl.config import Config
from irctl.errors import ConfigError


@dataclass(frozen=True)
class BatchPlan:
    """Whole numbers only; a plan that cannot be made whole is an error."""

    global_: int  # queries a step
    loss: int  # queries that share negatives
    micro: int  # queries a device forwards at once
    devices: int
    losses: int  # losses averaged in a step
    chunks: int  # chunks a device forwards for one loss
    accumulation: int  # global / (micro x devices)
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


def plan(
    config: Config, *, own_only: bool = False, training_queries: int = 0, group: float = 0, is_bound: bool = False
) -> BatchPlan:
    """The batch plan of a configuration. own_only: no loss compares a query with other queries' passages.

    training_queries, group: of the data, once it is known, group being the passages of a group in the mean (0: not
    known, data.group_size is the most). is_bound: the groups may turn out smaller, for negatives are still to be mined.
    Raises ConfigError with the nearest legal choices where global / loss, loss / devices or
    global / (micro x devices) is not whole.
    """
    devices, global_ = config.hardware.devices, config.batch.global_
    loss = config.batch.loss or global_
    if global_ % loss:
        _refuse(config, "batch.loss", f"batch.global={global_} is not a multiple of batch.loss={loss}", global_, [
            ("batch.loss", loss, lambda n: n > 0 and global_ % n == 0),
            ("batch.global", global_, lambda n: n > 0 and n % loss == 0),
        ])  # fmt: skip
    if loss % devices:
        name = "batch.loss" if config.batch.loss else "batch.global"
        _refuse(config, name, f"{name}={loss} queries cannot be shared evenly by {devices} devices", loss, [
            (name, loss, lambda n: n > 0 and n % devices == 0),
            ("--devices", devices, lambda n: n > 0 and loss % n == 0),
        ])  # fmt: skip
    asked = config.batch.micro or config.hardware.micro_batch
    micro = min(asked, loss // devices)
    if (global_ // devices) % micro:
        name = "batch.micro" if config.batch.micro else "hardware.micro_batch"
        found = f"batch.global={global_} is not a multiple of {name}={micro} x {devices} devices"
        _refuse(config, name, found, global_, [
            ("batch.micro", micro, lambda n: 0 < n <= loss // devices and (loss // devices) % n == 0),
            ("batch.global", global_, lambda n: n > 0 and n % (micro * devices) == 0 and n % loss == 0),
        ])  # fmt: skip
    chunks = math.ceil(loss / devices / micro)
    passages = group or config.data.group_size
    queries = 1 if own_only or config.loss.inbatch == "own" else min(loss, training_queries or loss)
    return BatchPlan(
        global_=global_,
        loss=loss,
        micro=micro,
        devices=devices,
        losses=global_ // loss,
        chunks=chunks,
        accumulation=global_ // (micro * devices),
        negatives_per_query=round(queries * passages - 1) if passages else None,
        is_bound=is_bound or not group,
    )


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
    raise ConfigError(f"{found} (from {origin})", hint=f"Nearest legal: {'; '.join(parts)}")


@dataclass(frozen=True)
class StepPlan:
    """How long training takes."""

    losses_an_epoch: int  # the last one may be smaller; it is kept
    steps_an_epoch: int
    total: int
    warmup: int

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
    return StepPlan(losses, an_epoch, total, warmup_steps(config.train.warmup_ratio, total))


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
