"""Whether the labels of the training data are what a loss reads into them; refused with the reason where not.

A loss file says so by LABELS: `threshold` (positives from a grade up), `gains` (2^grade - 1), `shares` (of the largest
grade), `teacher` (a teacher's scores). Without it, only the order and distance of labels count. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable

from irctl import plugins
from irctl.config import Config
from irctl.data.groups.merged_sources import Labels
from irctl.errors import ConfigError
from irctl.training.objective.terms import Part

LARGEST_GAIN_GRADE = 30
"""2^30 times the gain of grade 1: no scale of grades, and sums in float32 keep nothing below it."""


def check(config: Config, parts: tuple[Part, ...], labels: Labels) -> None:
    """Raise ConfigError for a loss that these labels would make do nothing, or something else than its name says."""
    for part in parts:
        if part.is_taught:
            continue
        if labels.lowest == labels.largest and part.view == "own":
            raise ConfigError(
                f"{part.name}: every label is {labels.lowest:g}, and a query's own passages are all it compares: "
                "nothing to order",
                hint="Add negatives (irctl hardneg, or data.negatives), or compare with other queries' passages",
            )
        wanted = plugins.literal("losses", part.name, "LABELS")
        if wanted and part.settings.get("target") != "softmax":
            CHECKS[wanted](config, part, labels)
        if wanted != "threshold" and part.view != "own":
            _inbatch(config, part, labels)


def notices(config: Config, parts: tuple[Part, ...], labels: Labels) -> list[str]:
    """What may be meant, and often is not: lines of warning."""
    lines = []
    given = config.loss.inbatch_label
    for part in parts:
        if part.is_taught:
            continue
        ordered = plugins.literal("losses", part.name, "LABELS") not in ("threshold", "gains")
        if ordered and part.view != "own" and labels.lowest < given and "loss.inbatch_label" not in config.origins:
            lines.append(
                f"{part.name}: other queries' passages have the label {given:g} (loss.inbatch_label) and so rank above "
                f"a query's own of label {labels.lowest:g}"
            )
        own_temperature = f"loss.{part.name}.temperature" in config.origins
        if len(parts) > 1 and part.spread == 0 and part.temperature != 1.0 and not own_temperature:
            lines.append(
                f"{part.name} follows margins, and loss.temperature={part.temperature:g} divides them: set "
                f"loss.{part.name}.temperature=1 where the labels have the scale of the scores"
            )
    return lines


def _inbatch(config: Config, part: Part, labels: Labels) -> None:
    """Refuse a label of other queries' passages that ranks them above what was judged."""
    given = config.loss.inbatch_label
    unasked = not labels.are_whole and "loss.inbatch_label" not in config.origins
    if given > labels.lowest and (given >= labels.largest or unasked):
        raise ConfigError(
            f"{part.name}: other queries' passages would have the label {given:g} (loss.inbatch_label), above some of "
            f"a query's own, whose labels go from {labels.lowest:g} to {labels.largest:g}",
            hint=f"Set loss.inbatch=own, or loss.inbatch_label to {labels.lowest:g} or less",
        )


def _threshold(config: Config, part: Part, labels: Labels) -> None:
    theta = part.settings.get("positive_threshold", 1.0)
    asked = config.loss.positive_threshold or f"loss.{part.name}.positive_threshold" in config.origins
    if not labels.are_whole and not asked:
        raise ConfigError(
            f"{part.name} needs to know which passages are positives; labels from {labels.lowest:g} to "
            f"{labels.largest:g}, not whole numbers, are a teacher's scores",
            hint="Set loss.positive_threshold, or use distill or marginmse",
        )
    if labels.largest < theta:
        raise ConfigError(
            f"{part.name}: no passage is positive: labels reach {labels.largest:g}, positives start at {theta:g}",
            hint="Check the judgements and their filters, or set loss.positive_threshold",
        )
    if labels.lowest >= theta and part.view == "own":
        raise ConfigError(
            f"{part.name}: no passage is negative: labels start at {labels.lowest:g}, positives at {theta:g}",
            hint="Add negatives (irctl hardneg), or raise loss.positive_threshold",
        )
    if part.view != "own" and config.loss.inbatch_label >= theta:
        raise ConfigError(
            f"loss.inbatch_label={config.loss.inbatch_label:g}: {part.name} would take other queries' passages for "
            f"positives, which start at {theta:g}",
            hint=f"Use less than {theta:g}",
        )


def _gains(config: Config, part: Part, labels: Labels) -> None:
    if not labels.are_whole or labels.largest > LARGEST_GAIN_GRADE:
        raise ConfigError(
            f"{part.name} weighs a passage by 2^grade - 1; labels from {labels.lowest:g} to {labels.largest:g} are "
            "scores, not grades",
            hint="Use kl, distill or marginmse, or make grades of them (score_transform or label of the source)",
        )
    if labels.largest <= 0:
        raise ConfigError(
            f"{part.name} weighs a passage by 2^grade - 1; no label is above 0 (the largest is {labels.largest:g})",
            hint="Check the judgements and their filters",
        )


def _shares(config: Config, part: Part, labels: Labels) -> None:
    if labels.lowest < 0 or labels.largest <= 0:
        raise ConfigError(
            f"{part.name} reads a label as a share of the largest one, so 0 is the least and some are above it; found "
            f"labels from {labels.lowest:g} to {labels.largest:g}",
            hint="Use kl or distill, or make grades of them (score_transform or label of the source)",
        )
    top = float(part.settings.get("max_label", labels.largest))
    used = max(labels.largest, config.loss.inbatch_label) if part.view != "own" else labels.largest
    if used > top:
        what = "labels reach" if labels.largest > top else "loss.inbatch_label is"
        raise ConfigError(
            f"{part.name}: {what} {used:g}, more than loss.{part.name}.max_label={top:g}: a share above 1 makes its "
            "loss fall without end",
            hint=f"Set loss.{part.name}.max_label to {used:g} or more, or drop it"
            if labels.largest > top
            else f"Use at most {top:g}",
        )


def _teacher(config: Config, part: Part, labels: Labels) -> None:
    if labels.are_whole and labels.lowest >= 0 and labels.largest <= 1:
        raise ConfigError(
            f"{part.name} follows the scores of a teacher; the labels are only 0 and 1, which say nothing of how much "
            "better a passage is",
            hint="Use infonce, or judgements that hold the teacher's scores",
        )


CHECKS: dict[str, Callable[[Config, Part, Labels], None]] = {
    "threshold": _threshold,
    "gains": _gains,
    "shares": _shares,
    "teacher": _teacher,
}
