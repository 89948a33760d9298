"""A method's own settings, and which settings somebody chose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irctl import plugins
from irctl.origins import Kind

if TYPE_CHECKING:
    from irctl.config import Config

NOT_CHOSEN = (Kind.METHOD, Kind.COLLECTION, Kind.DERIVED)
"""Where a value comes from that nobody chose for this training."""


def is_asked(config: Config, key: str) -> bool:
    """Whether somebody chose the value of a setting."""
    return key in config.origins and config.origins[key].kind not in NOT_CHOSEN


def settings_of(config: Config) -> Any:
    """The `Config` of the method's file, filled in. Raises ConfigError for values that it refuses."""
    cls: Any = plugins.config_class("methods", config.train.method)
    return cls(**config.plugin(config.train.method))
