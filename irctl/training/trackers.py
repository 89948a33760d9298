"""Where transformers reports the steps of a training to, and whether its package is installed. Imports none of them."""

from __future__ import annotations

from importlib.util import find_spec

from irctl.errors import EnvironmentUnfit
from irctl.origins import Origin

PACKAGES = {"wandb": ("wandb",), "tensorboard": ("tensorboard", "tensorboardX"), "mlflow": ("mlflow",)}
"""Tracker -> packages any of which serves it."""


def check(name: str, origin: Origin) -> None:
    """Raise EnvironmentUnfit where train.report_to names a tracker that is not installed. origin: of that setting."""
    packages = PACKAGES.get(name, ())
    if packages and not any(find_spec(package) for package in packages):
        raise EnvironmentUnfit(
            f"train.report_to={name} (from {origin}): the package {packages[0]} is not installed",
            hint=f"pip install {packages[0]}, or train.report_to=none",
        )
