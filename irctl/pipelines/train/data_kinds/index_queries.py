"""Queries against the codes of a bundle: without judgements, followed by the float scores (losses with a teacher)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irctl import plugins
from irctl.errors import ConfigError
from irctl.pipelines.train import label_free
from irctl.pipelines.train.preparation import Described, Prepared
from irctl.training.objective import terms
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle


def settle(config: Config) -> Config:
    """What such a training prefers where nobody chose."""
    _refuse_judged(config)
    return label_free.settle(config)


def check(config: Config) -> None:
    """Refuse settings that nothing reads."""
    label_free.check(config)


def describe(config: Config) -> Described:
    """What a training would find, without encoding or training."""
    return label_free.describe(config)


def prepare(config: Config, run: RunHandle, reporter: Reporter) -> Prepared:
    """Find the bundle, its vectors and the queries; every fault of the data is found here."""
    return label_free.prepare(config, run, reporter)


def follows_teacher(config: Config) -> bool:
    """Whether the labels are the scores of float vectors, so that no judgement is needed."""
    names = terms.names(config)
    return all(plugins.literal("losses", name, "LABELS") == "teacher" for name in names)


def _refuse_judged(config: Config) -> None:
    if not follows_teacher(config):
        raise ConfigError(
            f"loss.name={config.loss.name} (from {config.origin('loss.name')}): --method {config.train.method} follows "
            "the scores of float vectors",
            hint="Use --loss distill",
        )
