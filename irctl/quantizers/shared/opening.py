"""Making and loading quantizers by name: a quantizer is a file of this package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from irctl import plugins
from irctl.errors import DataError
from irctl.quantizers.shared import store


def make(name: str, settings: Mapping[str, Any], dim: int, metric: str = "ip", seed: int = 42) -> Any:
    """An untrained quantizer. Raises ConfigError for an unknown name, wrong settings, or a width they do not fit."""
    module = plugins.load("quantizers", name)
    return module.Quantizer(module.Config(**settings), dim, metric, seed)


def load(folder: Path) -> Any:
    """The trained quantizer saved in `folder`, whatever its kind. Raises DataError."""
    name = str(store.describe(folder)["name"])
    if name not in plugins.names("quantizers"):
        raise DataError(f"{folder}: made by the quantizer '{name}', which this irctl does not have")
    return plugins.load("quantizers", name).Quantizer.load(folder)
