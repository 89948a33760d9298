"""Recipes: one TOML file an experiment. Finding, reading and copying them.

[meta] says title, source, expected numbers and command; the rest are settings; [tiny] is an overlay that runs on a
CPU in about a minute; [[arms]] lists the recipes of a group.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from irctl import config, paths, plugins
from irctl.errors import ConfigError


def names() -> tuple[str, ...]:
    """The shipped recipes."""
    return tuple(sorted(p.stem for p in paths.shipped("recipes").glob("*.toml")))


def path(name: str) -> Path:
    """File of a shipped recipe, or the file itself. Raises ConfigError with the nearest name."""
    given = Path(name)
    if given.suffix == ".toml" and given.is_file():
        return given
    if name not in names():
        raise ConfigError(f"no recipe named '{name}'", hint=plugins.nearest(name, names()))
    return paths.shipped("recipes") / f"{name}.toml"


def read(name: str) -> dict[str, Any]:
    """The recipe's tables. Raises ConfigError if it is not TOML."""
    file = path(name)
    try:
        return tomllib.loads(file.read_text())
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{file}: not valid TOML: {e}") from None


def layer(name: str, *, tiny: bool = False) -> config.Layer:
    """The configuration layer of a recipe, with file:line origins."""
    file = path(name)
    return config.from_file(file, tiny=tiny, label=f"recipe {file.name}")


def check(name: str) -> list[str]:
    """Everything wrong with a recipe, one line each: keys, ranges, a missing [meta] entry or [tiny] overlay."""
    table, wrong = read(name), []
    meta = table.get("meta", {})
    wrong += [f"{path(name).name}: [meta] lacks '{k}'" for k in ("title", "source", "command") if not meta.get(k)]
    if "tiny" not in table and "arms" not in table:
        wrong.append(f"{path(name).name}: has no [tiny] overlay")
    for tiny in (False, True):
        if tiny and "tiny" not in table:
            continue
        try:
            config.resolve(layer(name, tiny=tiny))
        except ConfigError as e:
            wrong.append(str(e))
    return wrong
