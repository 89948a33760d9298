"""What the settings say of a projection head, without torch: its widths, and what contradicts what.

Dimension key: H width of the model before the head, E what enters its first layer, D what leaves its last.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError
from irctl.models import folder_facts, reading
from irctl.models.locate import LocatedModel
from irctl.origins import CHOSEN, outranks
from irctl.settings import Model
from irctl.settings import Transform as TransformSettings

if TYPE_CHECKING:
    from irctl.config import Config

BASE = "base"
HEAD = "head"
"""Key of irctl.json: {first, count: its modules; dim: D; init; dropout; frozen: the base was, in training}."""
FROZEN = "frozen"
OF_A_HEAD = ("head_init", "dropout", "normalize_base")
"""Settings of model. that only a head reads."""
OF_GROUPS = ("output_dim", "similarity", *OF_A_HEAD)
"""Settings of model. that only trainings on groups read."""
DATA = "groups"
"""What methods train on that make heads."""


def is_asked(config: Config) -> bool:
    return bool(config.model.output_dim)


def begins_as_transform(config: Config) -> bool:
    return is_asked(config) and config.model.head_init == "transform"


def choose_dim(config: Config, base_dim: int) -> int:
    """D. ConfigError for what is no width, and for one that the way the head begins cannot have."""
    asked, origin = config.model.output_dim, config.origin("model.output_dim")
    if asked == BASE:
        return base_dim
    if not asked.isdecimal() or not int(asked):
        raise ConfigError(f"model.output_dim: expected a width or {BASE}, found '{asked}' (from {origin})")
    dim, init = int(asked), config.model.head_init
    if dim > base_dim and init != "torch":
        raise ConfigError(
            f"model.output_dim={dim} (from {origin}): model.head_init={init} begins with at most {base_dim} directions",
            hint=f"Use {BASE}, or model.head_init=torch",
        )
    return dim


def named_transform(config: Config) -> TransformSettings:
    """What head_init=transform begins as: transform.* as set, soft whitening where nobody named one."""
    asked = config.transform
    return replace(asked, name="soft_whiten") if asked.name == "none" else asked


def choose_transform(config: Config, dim: int, base_dim: int) -> TransformSettings:
    """`named_transform` to D dimensions. ConfigError for what the head says itself."""
    asked = named_transform(config)
    if asked.queries:
        raise ConfigError(
            "transform.queries: model.head_init=transform takes the mean of the training's own queries",
            hint="Leave it out",
        )
    if asked.dim not in (0, dim):
        raise ConfigError(
            f"transform.dim={asked.dim}: model.output_dim={dim} says how many are kept", hint="Leave it out"
        )
    return replace(asked, dim=dim if dim < base_dim else 0)


def count_parameters(base_dim: int, dim: int) -> int:
    """Of a head H -> 2H -> D, weights and biases."""
    return base_dim * 2 * base_dim + 2 * base_dim + 2 * base_dim * dim + dim


def check_files(config: Config, data: str, located: LocatedModel | None) -> None:
    """ConfigError before anything is opened: what `check` and `choose_dim` refuse, and a training that makes no head.

    data: what the method trains on. located: of the model, if it is on this machine.
    """
    for name in OF_GROUPS if data != DATA else ():
        key, value = f"model.{name}", getattr(config.model, name)
        if key in config.origins and value != getattr(Model(), name):
            raise ConfigError(
                f"{key}={value} (from {config.origin(key)}): the method {config.train.method} makes no head and takes "
                "the model's own similarity",
                hint="Leave it out; a head is trained by --method dense, whose model others start from by --init",
            )
    if located is None:
        return
    check(config, reading.read_file(located))
    if is_asked(config) and (width := folder_facts.read_width(located, config)):
        dim = choose_dim(config, width)
        if begins_as_transform(config):
            choose_transform(config, dim, width)


def check(config: Config, about: dict[str, Any]) -> None:
    """ConfigError for settings of a head where none is made, or where the model has one. about: its irctl.json."""
    model = config.model
    if is_asked(config) and (own := about.get(HEAD)):
        raise ConfigError(
            f"model.output_dim={model.output_dim} (from {config.origin('model.output_dim')}): {model.name} has a head "
            f"of {own['dim']} dimensions already, and training goes on with it",
            hint="Leave it out, or start from the model without a head",
        )
    if not is_asked(config):
        for name in OF_A_HEAD:
            origin = config.origin(f"model.{name}")
            if origin.kind in CHOSEN and not outranks(config.origin("model.output_dim"), origin):
                raise ConfigError(
                    f"model.{name}={getattr(model, name)} (from {origin}): no head is made",
                    hint="Leave it out, or say how wide with model.output_dim",
                )
        return
    choose_dim(config, 1 << 31)
    if config.encoder.normalize == "true":
        raise ConfigError(
            "encoder.normalize=true: vectors of a head are not scaled to length 1",
            hint="Use model.normalize_base=true, which scales what enters it, or model.similarity=cosine",
        )
