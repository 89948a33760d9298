"""Which kind of data a method trains on, by the word DATA in its file: a file of data_kinds/ prepares each kind.

Imports nothing heavy: the kind's own file does, once it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

from irctl import plugins
from irctl.errors import ConfigError

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle
    from irctl.training.batch_plan import GroupSizes
    from irctl.types import Reporter

KINDS = "pipelines/train/data_kinds"
TEXTS = "texts"
"""The kind of data of compressive encoders."""


@dataclass(frozen=True)
class Prepared:
    """Data that is ready. config: with the files that were made. for_workers: what launch.json tells them besides."""

    config: Config
    sizes: GroupSizes | None
    for_workers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Described:
    """What --dry-run prints of the data: facts, and lists of lines by heading. sizes: None while it is not here.

    of_losses: what to say of each term of the loss. memory: of a training that forwards no encoder, in place of the
    estimate from the model's weights. rows: of the first loss batch, by population, for regularizers.
    """

    facts: dict[str, Any]
    lists: dict[str, list[str]]
    sizes: GroupSizes | None
    of_losses: dict[str, str] = field(default_factory=dict)
    memory: dict[str, str] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


class DataKind(Protocol):
    """What a file of data_kinds/ has; `settle` and `pin` may be absent.

    Each refuses, by ConfigError or DataError, what makes no training.
    """

    def settle(self, config: Config) -> Config:
        """The configuration with what such a training prefers where nobody chose; asked before anything else."""

    def pin(self, config: Config) -> Config:
        """The configuration with what is found in the ledger named: a trial has a ledger of its own."""

    def check(self, config: Config) -> None:
        """Settings alone."""

    def describe(self, config: Config) -> Described:
        """What a training would find, without making anything."""

    def prepare(self, config: Config, run: RunHandle, reporter: Reporter) -> Prepared:
        """Before the training processes start: files made, artifacts recorded."""


def trains_encoder(config: Config) -> bool:
    """Whether what is trained makes vectors of texts; else it is a compressive encoder, with a model of its own."""
    return bool(plugins.literal("methods", config.train.method, "DATA") != TEXTS)


def settle(config: Config) -> Config:
    """The configuration as the method's kind of data settles it."""
    kind = kind_of(config.train.method)
    return kind.settle(config) if hasattr(kind, "settle") else config


def pin(config: Config) -> Config:
    """The configuration with what its kind of data would find in this ledger."""
    kind = kind_of(config.train.method)
    return kind.pin(config) if hasattr(kind, "pin") else config


def kind_of(method: str) -> DataKind:
    """The kind of data of a method. Raises ConfigError for a method file that names none there is."""
    named = plugins.literal("methods", method, "DATA")
    kinds = plugins.names(KINDS)
    if named not in kinds:
        raise ConfigError(
            f"irctl/methods/{method}.py: DATA: expected {' or '.join(kinds)}, found {named!r}",
            hint="Name one of these, or add a file for the new kind to irctl/pipelines/train/data_kinds",
        )
    return cast(DataKind, plugins.load(KINDS, named))
