"""Which regularizers a run uses, by which weights and settings, on which vectors: `gor:.1,sigreg:.02` read, checked.

Populations are the queries of a loss batch and its positives; a method file says by ROWS which of
them its training moves, both where it says nothing. Imports no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irctl import plugins
from irctl.config import REGULARIZERS, Config
from irctl.errors import ConfigError
from irctl.origins import Kind, outranks
from irctl.training.objective import terms, weighted_names

if TYPE_CHECKING:
    from irctl.data.groups.merged_sources import Labels

KEY = "train.regularizer"
ROWS = "train.regularizer_rows"
POPULATIONS = {
    "separate": ("queries", "passages"),
    "joint": ("queries", "passages"),
    "queries": ("queries",),
    "passages": ("passages",),
}
"""Which vectors of a batch each value of train.regularizer_rows takes."""
FEWEST = 3
"""Rows below which no regularizer is defined (irctl/regularizers/_rows.py)."""


@dataclass(frozen=True)
class Regularizer:
    """One term: weight times irctl/regularizers/NAME.py of the rows. settings: of its Config, only what was set."""

    name: str
    weight: float
    settings: dict[str, Any]


def regularizers(config: Config) -> tuple[Regularizer, ...]:
    """The terms of train.regularizer; none where it is empty.

    Raises ConfigError for a name, a weight or a setting that cannot be used, and for rows that this method does not
    move.
    """
    named = weighted_names.read(config, KEY, "regularizers") if config.train.regularizer.strip() else []
    _check_unused(config, [name for name, _ in named])
    if named:
        _check_rows(config)
        _check_batch(config)
    return tuple(Regularizer(name, weight, config.plugin(f"{REGULARIZERS}{name}")) for name, weight in named)


def populations(config: Config) -> tuple[str, ...]:
    """The vectors that the regularizers of a run see."""
    return POPULATIONS[config.train.regularizer_rows]


def positive_from(config: Config, labels: Labels, is_binary: bool) -> float:
    """The least label of a passage that counts as a query's positive. is_binary: labels are 1 and 0.

    Raises ConfigError where a regularizer sees passages and the labels are a teacher's scores.
    """
    if is_binary:
        return 1.0
    if not labels.are_whole and not config.loss.positive_threshold:
        if config.train.regularizer and "passages" in populations(config):
            raise ConfigError(
                f"{ROWS}={config.train.regularizer_rows}: needs to know which passages are positives; labels from "
                f"{labels.lowest:g} to {labels.largest:g}, not whole numbers, are a teacher's scores",
                hint=f"Set loss.positive_threshold, or {ROWS}=queries",
            )
        return math.inf
    used = terms.thresholds_used(config, labels.largest)
    return used if isinstance(used, float) else terms.positive_threshold(config, labels.largest) or 1.0


def refuse_rows(asked: str, missing: str, moved: tuple[str, ...], why: str) -> ConfigError:
    """The error of rows that a training does not move. moved: those that it does; none: it can have no regularizer."""
    hint = f"Set {ROWS}={moved[0]}" if moved else f"Drop {KEY}, or train what makes these vectors"
    return ConfigError(f"{ROWS}={asked}: {why}, so a regularizer of {missing} would move nothing", hint=hint)


def _check_rows(config: Config) -> None:
    """Refuse vectors that stay as they are in a training of this method."""
    method = config.train.method
    moved = tuple(plugins.literal("methods", method, "ROWS") or POPULATIONS["separate"])
    missing = [name for name in populations(config) if name not in moved]
    if missing:
        raise refuse_rows(
            config.train.regularizer_rows, missing[0], moved, f"--method {method} trains {' and '.join(moved)} alone"
        )


def _check_batch(config: Config) -> None:
    """Refuse regularizers of a part of the step's queries, and of too few rows."""
    whole, loss = config.batch.global_, config.batch.loss
    if loss and loss != whole:
        raise ConfigError(
            f"{KEY}={config.train.regularizer}: its rows are those of one loss, and batch.loss={loss} cuts a step of "
            f"{whole} queries into {whole // loss} losses",
            hint=f"Drop batch.loss; a step of {whole} queries fits any memory with batch.micro",
        )
    fewest = 2 if config.train.regularizer_rows == "joint" else FEWEST
    if whole < fewest:
        raise ConfigError(
            f"{KEY}={config.train.regularizer}: needs {FEWEST} rows or more, and batch.global={whole}",
            hint="A larger batch; regularizers mean little below some dozens of rows",
        )


def _check_unused(config: Config, names: list[str]) -> None:
    """Refuse settings that would be read by nothing, but for a recipe's where another train.regularizer was typed."""
    for section in config.plugins:
        if section.startswith(REGULARIZERS) and (name := section.removeprefix(REGULARIZERS)) not in names:
            key = f"{section}.{next(iter(config.plugins[section]))}"
            if config.origins[key].kind is Kind.RECIPE and outranks(config.origin(KEY), config.origins[key]):
                continue
            used = f"the run uses {', '.join(names)}, not {name}" if names else f"{KEY} is empty"
            raise ConfigError(
                f"{key} (from {config.origins[key]}): {used}", hint=f"Add {name} to {KEY}, or drop the setting"
            )
    origin = config.origin(ROWS)
    if not names and origin.kind not in (Kind.DEFAULT, Kind.METHOD, Kind.RECIPE):
        raise ConfigError(
            f"{ROWS}={config.train.regularizer_rows} (from {origin}): {KEY} is empty",
            hint=f"Set {KEY}=gor:0.1 or another, or drop it",
        )
