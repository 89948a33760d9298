"""Shipped TOML files by name (`recipes`, `profiles`), as plugins.py has the plug-in files; a user's own fits too."""

from __future__ import annotations

from pathlib import Path

from irctl import paths, plugins
from irctl.errors import ConfigError


def names(kind: str) -> tuple[str, ...]:
    """Names of the shipped files of a kind, sorted."""
    return tuple(sorted(p.stem for p in paths.shipped(kind).glob("*.toml")))


def path(kind: str, name: str) -> Path:
    """The shipped file of that name, or the TOML file that `name` is. Raises ConfigError with the nearest name."""
    given = Path(name)
    if given.suffix == ".toml" and given.is_file():
        return given
    legal = names(kind)
    if name not in legal:
        hint = plugins.nearest(name, legal, f"irctl {kind} ls lists them")
        raise ConfigError(f"no {kind.removesuffix('s')} named '{name}'", hint=hint)
    return paths.shipped(kind) / f"{name}.toml"
