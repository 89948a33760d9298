"""The resolved configuration of a command line: its layers, in order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import errors, plugins
from irctl.commands.frame import absolute
from irctl.commands.frame.options import Options
from irctl.origins import Kind, Origin

if TYPE_CHECKING:
    from irctl.config import Config, Layer


def settings(options: Options, named: Mapping[str, Any], names: Mapping[str, str]) -> Config:
    """The resolved configuration of a command, its layers in the order of irctl/config.py."""
    from irctl import config, profiles, recipes_index

    layers: list[config.Layer] = []
    if options.recipe:
        layers.append(recipes_index.layer(options.recipe, tiny=options.tiny))
    elif options.tiny:
        raise errors.ConfigError(
            "--tiny: is an overlay of a recipe", hint="Add --recipe NAME; irctl recipes ls lists them"
        )
    if options.config:
        layers.append(config.from_file(Path(options.config)))
    shared = {"run.seed": options.seed, "run.hash": options.hash_}
    layers.append(config.from_options({**named, **shared}, {**names, "run.seed": "--seed", "run.hash": "--hash"}))
    layers.append(config.from_sets(options.set_))
    asked = config.resolve(*layers)
    hardware = dict(profiles.layer(options.profile, asked.train.method))
    if options.devices:
        hardware["hardware.devices"] = (len(device_numbers(options.devices)), Origin(Kind.OPTION, "--devices"))
    is_whole = options.recipe or options.config  # it says what the experiment is
    of_data = {} if is_whole or not _reads_collection(asked.train.method) else of_collection(asked.data.source)
    return absolute.of_config(config.resolve(of_data, hardware, *layers))


def _reads_collection(method: str) -> bool:
    """Whether a method trains on a collection: data.source is its default even for one that reads other files."""
    return method not in plugins.names("methods") or plugins.literal("methods", method, "DATA") != "texts"


def of_collection(source: str) -> Layer:
    """Settings that a shipped collection brings for training on it, collections/NAME/train.toml; empty for other data.

    A hundred training queries teach in minutes what they can; data of one's own keeps the defaults of settings.py.
    """
    from irctl import config, paths

    files = {file.parent.name: file for file in paths.shipped("collections").glob("*/train.toml")}
    if source not in files:
        return {}
    origin = Origin(Kind.COLLECTION, source)
    return {key: (value, origin) for key, (value, _) in config.from_file(files[source]).items()}


def device_numbers(text: str) -> list[int]:
    """[0, 1, 2] of '0-2' or '0,1,2'; SyCL's 'localhost:0,1' is read too."""
    from irctl.settings import MOST_DEVICES

    numbers: list[int] = []
    try:
        for part in text.removeprefix("localhost:").split(","):
            first, dash, last = part.partition("-")
            wanted = range(int(first), int(last if dash else first) + 1)
            if wanted.stop > MOST_DEVICES:
                raise errors.ConfigError(f"--devices {text[:80]}: expected numbers below {MOST_DEVICES}")
            numbers += wanted
    except ValueError:
        raise errors.ConfigError(f"--devices {text}: expected numbers such as 0,1 or 0-3") from None
    if not numbers or len(set(numbers)) != len(numbers):
        raise errors.ConfigError(f"--devices {text}: expected each device once, such as 0,1 or 0-3")
    return numbers
