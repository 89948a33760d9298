"""Reading a weighted sum of plug-in files from one setting: `ws2:1,infonce:0.1`. Imports no torch."""

from __future__ import annotations

import math

from irctl import plugins
from irctl.config import Config
from irctl.errors import ConfigError

LARGEST = 1e6
"""Weight above which the other terms are nothing, and sums leave the range of float32."""


def read(config: Config, key: str, package: str) -> list[tuple[str, float]]:
    """(name, weight) of each term of the setting `key`, in its order; a name without a weight has weight 1.

    package: where the names are files (losses, regularizers). Raises ConfigError for an unknown name, with the nearest
    one, for a weight that is not above 0, and for a name that stands twice.
    """
    text = str(config.flat()[key])
    terms = [_read_term(config, key, package, term) for term in text.split(",")]
    if len({name for name, _ in terms}) != len(terms):
        kind = {"losses": "loss"}.get(package, package.rstrip("s"))
        raise ConfigError(f"{key}={text}: each {kind} once", hint="Add up its weights")
    return terms


def _read_term(config: Config, key: str, package: str, term: str) -> tuple[str, float]:
    name, colon, number = (piece.strip() for piece in term.partition(":"))
    try:
        weight = float(number) if colon else 1.0
    except ValueError:
        weight = math.nan
    origin = config.origin(key)
    if not 0 < weight < math.inf:
        raise ConfigError(f"{key}: expected a weight above 0 after '{name}:', found '{number}' (from {origin})")
    if weight > LARGEST:
        at_most = f"expected a weight of at most {LARGEST:.0f} after '{name}:'"
        raise ConfigError(f"{key}: {at_most}, found '{number}' (from {origin})")
    return plugins.check(package, name), weight
