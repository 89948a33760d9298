"""Where transformers reports the steps of a training to, and whether its package is installed. Imports none of them."""

from __future__ import annotations

from importlib.util import find_spec

from irctl import plugins
from irctl.errors import ConfigError, EnvironmentUnfit
from irctl.origins import Origin

PACKAGES = {
    "trackio": ("trackio",),
    "wandb": ("wandb",),
    "tensorboard": ("tensorboard", "tensorboardX"),
    "mlflow": ("mlflow",),
}
"""Tracker -> packages any of which serves it."""
NONE = "none"


def names(report_to: str) -> list[str]:
    """The trackers of train.report_to, each once; none for `none`."""
    return [name for name in dict.fromkeys(part.strip() for part in report_to.split(",")) if name != NONE]


def check(report_to: str, origin: Origin) -> None:
    """ConfigError where train.report_to names no tracker, EnvironmentUnfit where one is not installed.

    origin: of that setting.
    """
    for name in names(report_to):
        if name not in PACKAGES:
            raise ConfigError(
                f"train.report_to (from {origin}): no tracker named '{name}'",
                hint=plugins.nearest(name, [*PACKAGES, NONE]),
            )
        if not any(find_spec(package) for package in PACKAGES[name]):
            raise EnvironmentUnfit(
                f"train.report_to={name} (from {origin}): the package {PACKAGES[name][0]} is not installed",
                hint=f"pip install {PACKAGES[name][0]}, or train.report_to=none",
            )
