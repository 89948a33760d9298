"""The settings of a compressive encoder's training, read and checked together. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from irctl import plugins
from irctl.errors import ConfigError
from irctl.models.compressive import row_selection
from irctl.origins import COMMAND_LINE

if TYPE_CHECKING:
    from irctl.config import Config

METHOD = "acerag"
STAGES = {"pt": ("stride", "random", "mean"), "ft": ("stride", "random", "terminal", "mean")}
"""The stages, and how each may keep rows."""


@dataclass(frozen=True, kw_only=True)
class Compression:
    """The settings with their lists read."""

    own: Any  # the method's Config
    ratios: tuple[int, ...]
    files: tuple[str, ...]
    splits: tuple[float, ...]


def read(config: Config) -> Compression:
    """Raises ConfigError for lists that cannot be read, and for settings that contradict each other."""
    cls: Any = plugins.config_class("methods", METHOD)
    own = cls(**config.plugin(METHOD))
    ratios = read_ratios(own)
    if own.selection not in STAGES[own.stage]:
        legal = ", ".join(STAGES[own.stage])
        raise ConfigError(f"acerag.selection={own.selection}: stage {own.stage} keeps rows by {legal}")
    for ratio in ratios:
        row_selection.check(own.selection, own.grid, ratio)
    _check_stage(config, own)
    files = tuple(name.strip() for name in own.data_files.strip("[]").split(",") if name.strip())
    return Compression(
        own=own, ratios=ratios, files=files, splits=numbers("acerag.data_splits", own.data_splits, float)
    )


def read_ratios(own: Any) -> tuple[int, ...]:
    """Raises ConfigError for none, and for one that is named twice."""
    ratios = numbers("acerag.ratios", own.ratios, int)
    if not ratios or len(set(ratios)) != len(ratios):
        raise ConfigError(f"acerag.ratios={own.ratios}: expected whole numbers of 1 or more, each once")
    return ratios


def refuse_unread(config: Config, reads: Collection[str], what: str) -> None:
    """ConfigError for settings of the method on the command line that are not among `reads`. A recipe's are for many
    commands, and may hold what another of them reads.
    """
    for key, origin in config.origins.items():
        section, _, name = key.partition(".")
        if section == METHOD and name not in reads and origin.kind in COMMAND_LINE:
            raise ConfigError(f"{key} (from {origin}): {what} does not read it", hint="Drop it")


def numbers(key: str, text: str, kind: type) -> tuple[Any, ...]:
    """1,2,4 or [1,2,4] as numbers. Raises ConfigError."""
    words = [w.strip(" '\"") for w in str(text).strip("[] ").split(",") if w.strip(" '\"")]
    try:
        found = tuple(kind(w) for w in words)
    except ValueError:
        raise ConfigError(f"{key}={text}: expected numbers such as 1,2,4") from None
    if any(not n > 0 for n in found):
        raise ConfigError(f"{key}={text}: expected numbers above 0")
    return found


def _check_stage(config: Config, own: Any) -> None:
    """Refuse settings of the other stage, and lengths that leave nothing to read."""
    for name in ("new_tokens", "tuned_lm", "scoring", "scorer", "ratio"):
        if f"{METHOD}.{name}" in config.origins:
            hint = "Use acerag.ratios" if name == "ratio" else "Drop it"
            raise ConfigError(f"{METHOD}.{name}: is not of training, but of evaluation or encoding", hint=hint)
    only = {"window": "pt", "reconstruction": "pt", "lm_tokens": "ft", "targets": "ft", "chat_template": "ft"}
    only |= {"by_context": "ft"}
    defaults = {f.name: f.default for f in fields(own)}
    for name, stage in only.items():
        key = f"{METHOD}.{name}"
        if stage != own.stage and key in config.origins and getattr(own, name) != defaults[name]:
            raise ConfigError(
                f"{key} (from {config.origins[key]}): is of stage {stage}; this is stage {own.stage}", hint="Drop it"
            )
    if own.shuffle_rows and own.grid != "released":
        raise ConfigError("acerag.shuffle_rows=true: reproduces the released encoders", hint="Add acerag.grid=released")
    if own.stage == "pt":
        if own.chunk_tokens < own.window:
            raise ConfigError(f"acerag.chunk_tokens={own.chunk_tokens}: holds no window of {own.window} tokens")
        if own.min_tokens and own.min_tokens < own.window:
            raise ConfigError(
                f"acerag.min_tokens={own.min_tokens}: a text of one window ({own.window}) has nothing to predict",
                hint=f"Use acerag.min_tokens={own.window} or more",
            )
    if own.max_tokens and own.min_tokens and own.max_tokens <= own.min_tokens + 1:
        raise ConfigError(f"acerag.min_tokens={own.min_tokens} and max_tokens={own.max_tokens}: no length lies between")


def check_chain(config: Config, own: Any, layers: int, stages: Collection[Mapping[str, str]]) -> None:
    """ConfigError where the encoder of train.init has other layers, or is fine-tuned and would be pre-trained.

    stages: what it was trained on.
    """
    named = f"train.init={config.train.init} (from {config.origin('train.init')})"
    if layers != own.layers:
        raise ConfigError(
            f"{named}: has {layers} layers, and acerag.layers is {own.layers}", hint=f"Use acerag.layers={layers}"
        )
    if own.stage == "pt" and any(stage["stage"] == "ft" for stage in stages):
        raise ConfigError(
            f"{named}: is fine-tuned, and stage pt comes before that",
            hint="Start from the encoder of a run of stage pt, or without train.init",
        )


def least_tokens(own: Any) -> int | None:
    """Length above which a row is kept; a text for pre-training has more than a window."""
    least = max(own.min_tokens, own.window) if own.stage == "pt" else own.min_tokens
    return int(least) or None
