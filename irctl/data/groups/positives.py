"""Which passages a run takes for positives, and whether a group holds one of them or all grades."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from irctl import plugins
from irctl.errors import ConfigError

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.groups.merged_sources import Labels


FOLLOWERS = ("distill", "marginmse")
"""Losses that may follow a teacher in place of labels."""


def follows_base(config: Config, loss: str) -> bool:
    """Whether a loss follows the model as it was loaded (the setting `teacher` of the method): it reads no labels."""
    return loss in FOLLOWERS and config.plugin(config.train.method).get("teacher") == "base"


def is_binary(config: Config) -> bool:
    """Whether a group is one positive and negatives: data.binary, or where it is empty, if all losses that read labels
    have a threshold.

    Such a loss reads a grade as positive or not; groups of the most relevant passages would leave it no negatives.
    """
    if config.data.binary:
        return config.data.binary == "true"
    thresholds = _thresholds(config)
    reading = [name for name in _loss_names(config.loss.name) if not follows_base(config, name)]
    return len(thresholds) == len(reading) and len(set(thresholds.values())) == 1


def threshold_asked_for(config: Config) -> float | None:
    """The grade that is set for the positive of a binary group, 0 where none is; None: groups of all grades.

    Raises ConfigError where two losses have two of them.
    """
    if not is_binary(config):
        return None
    thresholds = _thresholds(config)
    values = set(thresholds.values()) or {config.loss.positive_threshold}
    if len(values) > 1:
        named = ", ".join(f"{value:g} ({name})" for name, value in thresholds.items())
        raise ConfigError(
            f"data.binary (from {config.origin('data.binary')}): a group has one positive, and the "
            f"losses of the run have several thresholds: {named}",
            hint="Set loss.positive_threshold for all, or data.binary=false",
        )
    return values.pop()


def choose_threshold(asked: float, labels: Labels) -> float:
    """The grade from which a passage is a positive: as asked, else half the largest, rounded up.

    Raises ConfigError where labels are a teacher's scores and nothing was asked, or where no label reaches it.
    """
    if not asked and not labels.are_whole:
        raise ConfigError(
            f"one positive a group needs to know which passages are positives; labels from {labels.lowest:g} to "
            f"{labels.largest:g}, not whole numbers, are a teacher's scores",
            hint="Set loss.positive_threshold, or use distill or marginmse",
        )
    theta = asked or half_of_largest(labels.largest)
    if theta > labels.largest:
        raise ConfigError(
            f"positives start at {theta:g} (loss.positive_threshold): no passage is positive, for the largest grade "
            f"is {labels.largest:g}",
            hint=f"Use at most {labels.largest:g}, and check the judgements and their filters",
        )
    return theta


def half_of_largest(largest_grade: float) -> float:
    """The threshold that nobody set."""
    return float(max(math.ceil(largest_grade / 2), 1))


def _loss_names(terms: str) -> list[str]:
    """The losses of loss.name, without their weights."""
    return [term.partition(":")[0].strip() for term in terms.split(",")]


def _thresholds(config: Config) -> dict[str, float]:
    """By loss that has one: what is set for it, else for all; 0: nothing is set."""
    names = [n for n in _loss_names(config.loss.name) if plugins.literal("losses", n, "LABELS") == "threshold"]
    own = {n: config.plugin(f"loss.{n}").get("positive_threshold") for n in names}
    return {n: float(value or config.loss.positive_threshold) for n, value in own.items()}
