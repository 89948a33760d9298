"""The learning rate at another batch size than its recipe's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irctl.errors import ConfigError
from irctl.origins import Kind, derived
from irctl.training.learning_rates import KEYS
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config


RATES = ("lr", *KEYS.values())


def scale_lr(config: Config, reporter: Reporter) -> Config:
    """train.lr, and the rates of parts, for a global batch that differs from the recipe's, by train.lr_scaling."""
    recipe = _recipe_batch(config)
    how = config.train.lr_scaling
    if recipe is None:
        if how != "none":
            raise ConfigError(
                f"train.lr_scaling={how}: scales from the global batch of a recipe, and the run has none",
                hint="Use --recipe, or set train.lr itself",
            )
        return config
    ratio = config.batch.global_ / recipe
    if ratio == 1:
        return config
    if how == "none":
        reporter.warn(
            f"batch.global={config.batch.global_}, the recipe has {recipe}: train.lr={config.train.lr:g} is kept "
            "(train.lr_scaling=linear or sqrt scales it)"
        )
        return config
    scale = ratio if how == "linear" else ratio**0.5
    scaled = {f"train.{name}": rate * scale for name in RATES if (rate := getattr(config.train, name))}
    return config.replace(scaled, derived(f"train.lr_scaling={how}"))


def _recipe_batch(config: Config) -> int | None:
    """batch.global of the recipe that the settings came from."""
    from irctl import recipes_index, shipped_files

    recipes = [o for o in config.origins.values() if o.kind is Kind.RECIPE]
    for name in dict.fromkeys(o.name for o in recipes):
        stem = name.removesuffix(".toml")
        if stem in shipped_files.names("recipes"):
            tiny = any(o.tiny for o in recipes if o.name == name)
            found = recipes_index.layer(stem, tiny=tiny).get("batch.global")
            return int(found[0]) if found else None
    return None
