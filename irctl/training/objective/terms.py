"""Which losses a run uses, with their weights and settings: `ws2:1,infonce:0.1` read and checked. Imports no torch.

Combinations that would be wrong without an error later are refused here, each with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from irctl import plugins
from irctl.config import Config
from irctl.data.groups import positives
from irctl.errors import ConfigError
from irctl.origins import MEASURED, Kind
from irctl.training.objective import weighted_names

VIEWS = ("own", "all", "masked")
TEACHER = "teacher"
"""The view whose labels are a teacher's, in place of those of the data."""


@dataclass(frozen=True)
class Part:
    """One term of the loss."""

    name: str
    weight: float
    view: str  # own, all or masked: the candidates it sees
    settings: dict[str, Any]  # its Config, but for the temperature where that is measured
    temperature: float | None  # None: to be measured
    own_spread: float = 0.0  # of the logits, where the method knows better than the loss
    is_taught: bool = False  # its labels are a teacher's, of the candidates of `view`

    @property
    def spread(self) -> float:
        """Spread of the logits that temperature auto aims at; 0: the temperature stays 1."""
        return self.own_spread or float(plugins.literal("losses", self.name, "AUTO_SPREAD"))


def parts(config: Config, largest_grade: float | None = None) -> tuple[Part, ...]:
    """The terms of loss.name. largest_grade: of the training data, once known; fills loss.positive_threshold.

    Raises ConfigError for a weight, a view or a setting that its loss cannot use.
    """
    terms = weighted_names.read(config, "loss.name", "losses")
    _check_unused(config, [name for name, _ in terms])
    threshold = positive_threshold(config, largest_grade)
    of_loss = tuple(_part(config, name, weight, threshold, largest_grade) for name, weight in terms)
    _check_inbatch(config, {part.view for part in of_loss})
    return of_loss


def names(config: Config) -> list[str]:
    """The losses of loss.name."""
    return [name for name, _ in weighted_names.read(config, "loss.name", "losses")]


def reads_judgements(config: Config) -> bool:
    """Whether a loss reads grades; else the scores of a teacher are all that is asked for."""
    return any(plugins.literal("losses", name, "LABELS") != TEACHER for name in names(config))


def own_only(config: Config) -> bool:
    """True if no term compares a query with passages of other queries."""
    return all(part.view == "own" for part in parts(config))


def positive_threshold(config: Config, largest_grade: float | None) -> float | None:
    """loss.positive_threshold, or half the largest grade, rounded up; None while the grades are unknown."""
    theta = config.loss.positive_threshold
    if largest_grade is None:
        return theta or None
    if positives.is_binary(config):  # the threshold has done its work: labels are 1 and 0
        return 1.0
    if theta and theta > largest_grade:
        raise ConfigError(
            f"loss.positive_threshold={theta:g}: no passage is positive, for the largest grade is {largest_grade:g}",
            hint=f"Use at most {largest_grade:g}",
        )
    return theta or positives.half_of_largest(largest_grade)


def thresholds_used(config: Config, largest_grade: float) -> float | dict[str, float] | None:
    """The threshold that the losses read: the one for all, or by loss where loss.NAME.positive_threshold differs."""
    used = {p.name: p.settings.get("positive_threshold") for p in parts(config, largest_grade)}
    own = {name: float(value) for name, value in used.items() if value is not None}
    if len(set(own.values())) > 1:
        return own
    return next(iter(own.values()), positive_threshold(config, largest_grade))


def _part(config: Config, name: str, weight: float, threshold: float | None, largest_grade: float | None) -> Part:
    is_taught = positives.follows_base(config, name)  # then labels of other queries' passages are known too
    legal = (not is_taught and plugins.literal("losses", name, "VIEWS")) or VIEWS
    asked, origin = config.loss.inbatch, config.origins.get("loss.inbatch")
    if legal == ("own",):
        if origin and asked != "own" and "," not in config.loss.name:
            raise ConfigError(
                f"{name} compares a query's own passages only; loss.inbatch={asked} (from {origin}) would do nothing",
                hint="Drop it, or set loss.inbatch=own",
            )
        view = "own"
    elif asked not in legal:
        raise ConfigError(
            f"{name} needs the same passage in a column of every query, which loss.inbatch={asked} does not give",
            hint="Use loss.inbatch=masked, or the loss ws2_paired",
        )
    else:
        view = asked
    settings = config.plugin(f"loss.{name}")
    if settings.get("position_weights") and view != "own":
        raise ConfigError(
            f"loss.{name}.position_weights weighs ranks within a query's own passages; loss.inbatch={view} adds others",
            hint="Set loss.inbatch=own",
        )
    if config.loss.learn_temperature and (name == "ws2" or legal == ("own",)):
        raise ConfigError(
            f"loss.learn_temperature: {name} would lower its value by the temperature alone, ordering nothing better",
            hint="Use loss.temperature=auto",
        )
    fields = _fields(name)
    if "positive_threshold" in fields and threshold is not None:
        if largest_grade is not None and positives.is_binary(config):
            settings["positive_threshold"] = threshold  # what was set for the loss has divided the grades
        settings.setdefault("positive_threshold", threshold)
    if "max_label" in fields and largest_grade:
        settings.setdefault("max_label", largest_grade)
    if "label_temperature" in fields and "loss.label_temperature" in config.origins:
        settings.setdefault("label_temperature", config.loss.label_temperature)
        _config(config, name, settings)
    temperature = settings.pop("temperature", config.loss.temperature)
    if temperature == "auto":
        fixed = plugins.literal("losses", name, "AUTO_SPREAD") == 0
        return Part(name, weight, view, settings, 1.0 if fixed else None, is_taught=is_taught)
    if not isinstance(temperature, (int, float)) or not 0 < temperature < math.inf:
        where = config.origin("loss.temperature")
        raise ConfigError(f"loss.temperature: expected auto or a number above 0, found {temperature!r} (from {where})")
    return Part(name, weight, view, settings, float(temperature), is_taught=is_taught)


def _config(config: Config, name: str, settings: dict[str, Any]) -> None:
    """Let the loss check settings that come from a key of all losses."""
    cls = plugins.config_class("losses", name)
    assert cls is not None, "it has the field"
    try:
        cls(**{k: v for k, v in settings.items() if k != "temperature"})
    except ConfigError as e:
        origin = config.origins["loss.label_temperature"]
        raise ConfigError(f"loss.label_temperature: {e.message} (from {origin})", hint=e.hint) from None


def _fields(name: str) -> tuple[str, ...]:
    cls = plugins.config_class("losses", name)
    return tuple(cls.__dataclass_fields__) if cls else ()


def _check_unused(config: Config, names: list[str]) -> None:
    """Refuse settings that would be read by nothing."""
    for section in config.plugins:
        if section.startswith("loss.") and section[5:] not in names:
            key = f"{section}.{next(iter(config.plugins[section]))}"
            raise ConfigError(
                f"{key} (from {config.origins[key]}): the run uses {', '.join(names)}, not {section[5:]}",
                hint=f"Add {section[5:]} to loss.name, or drop the setting",
            )
    if "loss.label_temperature" in config.origins and not any(_reads_label_temperature(config, n) for n in names):
        users = ", ".join(n for n in plugins.names("losses") if "label_temperature" in _fields(n))
        raise ConfigError(
            f"loss.label_temperature (from {config.origins['loss.label_temperature']}): {', '.join(names)} takes no "
            "softmax of grades",
            hint=f"Drop it, or use one of {users} (listnet with loss.listnet.target=softmax)",
        )
    key = "loss.listnet.label_temperature"
    if key in config.origins and not _reads_label_temperature(config, "listnet"):
        raise ConfigError(
            f"{key} (from {config.origins[key]}): listnet's target is the gain of grades, not their softmax",
            hint="Drop it, or set loss.listnet.target=softmax",
        )


def _reads_label_temperature(config: Config, name: str) -> bool:
    """False for losses without one, and for a target that is no softmax of grades (listnet's default)."""
    fields = _fields(name)
    softmax = "target" not in fields or config.plugin(f"loss.{name}").get("target") == "softmax"
    return "label_temperature" in fields and softmax


def _check_inbatch(config: Config, views: set[str]) -> None:
    """Refuse settings of other queries' passages where no loss sees them."""
    loss = config.loss
    if loss.guide and "masked" not in views:  # a recipe's too: there is nothing to drop them from
        raise ConfigError(
            f"loss.guide={loss.guide} (from {config.origin('loss.guide')}) does something only with "
            f"loss.inbatch=masked; {loss.name} compares by {' and '.join(sorted(views))}",
            hint="Drop it, or use a loss of other queries' passages with loss.inbatch=masked",
        )
    for key, needed, given in (
        ("loss.inbatch_label", "all or masked", views != {"own"}),
        ("loss.guide_margin", "loss.guide", bool(loss.guide)),
    ):
        if key in config.origins and not given and config.origin(key).kind is not Kind.RECIPE:
            what = needed if needed.startswith("loss.") else f"loss.inbatch={needed}"
            raise ConfigError(
                f"{key} (from {config.origins[key]}) does something only with {what}",
                hint=f"Drop it, or use {what} and a loss that reads it",
            )


def replace_measured(config: Config, state: Mapping[str, Any]) -> Config:
    """The configuration with the temperatures that were measured, so that it reruns exactly. state: of the method."""
    values = state.get("temperatures")
    measured = [part.name for part in parts(config) if part.temperature is None] if values else []
    if not measured or not values:
        return config
    if len(config.loss.name.split(",")) == 1:
        return config.replace({"loss.temperature": values[measured[0]]}, MEASURED)
    return config.replace({f"loss.{name}.temperature": values[name] for name in measured}, MEASURED)
