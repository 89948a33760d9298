"""Whether a training's base is frozen under a head, so that its vectors are made once. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irctl.errors import ConfigError

if TYPE_CHECKING:
    from irctl.config import Config


def is_frozen(config: Config) -> bool:
    """Whether all that is trained of the model is a head, where it has one: adapters would change the base."""
    return config.model.freeze_base and not config.model.lora_r


def check(config: Config, has_head: bool) -> None:
    """Refuse settings of a base that is trained. has_head: the model has one, or will."""
    if is_frozen(config) and has_head and config.train.gradient_checkpointing:
        frozen = f"model.freeze_base (from {config.origin('model.freeze_base')})"
        raise ConfigError(
            f"train.gradient_checkpointing (from {config.origin('train.gradient_checkpointing')}): under {frozen} the "
            "base makes its vectors once and no activations are kept",
            hint="Drop it",
        )
