"""What a training starts from besides its data: the weights of train.init, and the index that its method reads.

A method file says by `READS_INDEX = True` that it trains against an index.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from irctl import plugins
from irctl.errors import ConfigError
from irctl.origins import derived, outranks
from irctl.pipelines.train import preparation
from irctl.pipelines.train.method_settings import NOT_CHOSEN

if TYPE_CHECKING:
    from irctl.config import Config

READS_INDEX = "READS_INDEX"


def settle(config: Config) -> Config:
    """The configuration whose model is the one that train.init names.

    Raises ConfigError for an index that the method does not read, and for a model.name that means other weights.
    """
    _check_index(config)
    init = config.train.init
    if not init:
        return config
    if not preparation.trains_encoder(config):  # its kind of data finds the encoder to start from
        return config
    own, asked = config.origins.get("model.name"), config.origin("train.init")
    if own is not None and own.kind not in NOT_CHOSEN and not outranks(asked, own):
        name = config.model.name
        if _place(name, config.model.revision) != _place(init):
            raise ConfigError(
                f"train.init={init} (from {asked}): model.name={name} (from {own}) is another model to start from",
                hint="Give one of them",
            )
    return config.replace({"model.name": init}, derived("train.init"))


def _place(name: str, revision: str = "") -> Path | str:
    """The folder that a name means, else the name."""
    from irctl.models.locate import find_local

    found = find_local(name, revision)
    return found.folder.resolve() if found else name


def _check_index(config: Config) -> None:
    index, method = config.train.index, config.train.method
    if not index or plugins.literal("methods", method, READS_INDEX):
        return
    reading = [name for name in plugins.names("methods") if plugins.literal("methods", name, READS_INDEX)]
    hint = f"Drop it, or use --method {' or '.join(reading)}" if reading else "Drop it"
    raise ConfigError(
        f"train.index={index} (from {config.origin('train.index')}): the method {method} reads no index", hint=hint
    )
