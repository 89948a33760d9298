"""Queries against the codes of a bundle: judged ones, or without judgements, followed by the float scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from irctl.errors import ConfigError
from irctl.pipelines.train import judged_codes, label_free
from irctl.pipelines.train.preparation import DataKind, Described, Prepared
from irctl.training.objective import terms
from irctl.types import Reporter, Silent

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle


def settle(config: Config) -> Config:
    """What such a training prefers where nobody chose."""
    return _of(config).settle(config)


def pin(config: Config) -> Config:
    """The configuration with its bundle named."""
    return label_free.find_bundle(settle(config), Silent())[0]


def check(config: Config) -> None:
    """Refuse settings that nothing reads."""
    if config.train.epoch_models:
        raise ConfigError(
            f"train.epoch_models (from {config.origin('train.epoch_models')}): {config.train.method} writes a "
            "bundle, once its training is over",
            hint="Drop it; checkpoints are kept by train.save and train.keep",
        )
    _of(config).check(config)


def describe(config: Config) -> Described:
    """What a training would find, without encoding or training."""
    return _of(config).describe(config)


def prepare(config: Config, run: RunHandle, reporter: Reporter) -> Prepared:
    """Find the bundle, its vectors and the queries; every fault of the data is found here."""
    return _of(config).prepare(config, run, reporter)


def _of(config: Config) -> DataKind:
    return cast(DataKind, judged_codes if terms.reads_judgements(config) else label_free)
