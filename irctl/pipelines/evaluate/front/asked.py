"""What `--transforms` and `--similarities` name: a list of transforms, each by which it is told from the others.

front                the transforms of an isotropy table, the untouched vectors first
soft_whiten:.25      a name of transform.name and its number: a of soft_whiten, directions that remove_top takes
whiten:256           away, directions that centre, whiten, soft_whiten (after its a) keep
whiten:corpus        the mean that queries are centred by, in place of transform.query_mean: own, corpus or none
front:corpus         the same for the whole front
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from irctl import plugins
from irctl.errors import ConfigError
from irctl.index.scoring import METRIC
from irctl.metrics.ranking.parsing import split_list
from irctl.models.transforms import affine
from irctl.settings import Transform as Settings

if TYPE_CHECKING:
    from irctl.config import Config

FRONT = "front"
NONE = "none"
_CUT = "whiten:{cut}"
OF_FRONT = (
    *(NONE, "centre", "renorm", "remove_top", "remove_top:10"),
    *(f"soft_whiten:{a}" for a in (0.1, 0.25, 0.4, 0.5, 0.75)),
    *("whiten", _CUT),
)
"""What `front` stands for. {cut}: two thirds of the width."""
NUMBERS = {"soft_whiten": ("a", "dim"), "remove_top": ("remove", "dim"), "centre": ("dim",), "whiten": ("dim",)}
"""The settings that the numbers of a name are, in order."""
_SAID_IN_LIST = ("name", "a", "remove", "dim")


def transforms(text: str, config: Config, dim: int) -> list[Settings]:
    """The transforms that a list names, each once, of vectors of this width. Raises ConfigError."""
    twice = [key for name in _SAID_IN_LIST if (key := f"transform.{name}") in config.origins]
    if twice:
        raise ConfigError(f"{twice[0]}: is said by --transforms", hint="Leave one of them out")
    found: list[Settings] = []
    for word in split_list(text):
        name, *rest = word.split(":")
        if name == FRONT:
            filled = (w.format(cut=max(1, 2 * dim // 3)) for w in OF_FRONT)
            found += [_read(":".join([w, *(rest if w != NONE else [])]), word, config.transform) for w in filled]
        else:
            found.append(_read(word, word, config.transform))
    if not found:
        raise ConfigError("--transforms: names none", hint=f"--transforms {FRONT}")
    once: dict[str, Settings] = {}
    for one in found:
        once.setdefault(affine.label(affine.describe(affine.resolve(one, dim))), one)
    return list(once.values())


def _read(word: str, typed: str, usual: Settings) -> Settings:
    """One transform. typed: as the user wrote it."""
    legal = Settings.__dataclass_fields__["name"].metadata["choices"]
    means = Settings.__dataclass_fields__["query_mean"].metadata["choices"]
    name, *rest = word.split(":")
    if name not in legal:
        hint = plugins.nearest(name, [FRONT, *legal])
        raise ConfigError(f"--transforms {typed}: no transform named '{name}'", hint=hint)
    mean = rest.pop() if rest and rest[-1] in means else usual.query_mean
    numbers = NUMBERS.get(name, ())
    if len(rest) > len(numbers) or (name == NONE and len(word) > len(name)):
        takes = " and ".join(numbers) or "no number"
        raise ConfigError(f"--transforms {typed}: {name} takes {takes}, and {', '.join(means)} for queries")
    made: Settings = replace(Settings(), name=name)
    if name != NONE:
        made = replace(made, query_mean=mean, queries=usual.queries if mean == "own" else "", eps=usual.eps)
    given: dict[str, Any] = {key: _number(key, value, typed) for key, value in zip(numbers, rest, strict=False)}
    return replace(made, **given)


def _number(key: str, text: str, typed: str) -> float | int:
    known = Settings.__dataclass_fields__[key]
    kind: type[int] | type[float] = int if isinstance(known.default, int) else float
    low, high = known.metadata["low"], known.metadata["high"]
    expected = f"a number from {low} to {high}" if high is not None else f"a whole number from {low + 1} up"
    try:
        value: float | int = kind(text)
    except ValueError:
        value = -1
    if value < low or (high is not None and value > high) or (kind is int and value == 0):
        raise ConfigError(f"--transforms {typed}: expected {expected} for {key}, found {text!r}")
    return value


def similarities(text: str, usual: str) -> list[str]:
    """The similarities that a list names, each once; `usual` where it is empty. Raises ConfigError."""
    found = list(dict.fromkeys(split_list(text))) or [usual]
    for name in found:
        if name not in METRIC:
            raise ConfigError(
                f"--similarities {text}: expected {', '.join(METRIC)}", hint=plugins.near(name, list(METRIC))
            )
    return found


def needs_own_mean(asked: Sequence[Settings]) -> bool:
    """Whether one of the transforms centres queries by the mean of training queries."""
    return any(one.name != NONE and one.query_mean == "own" for one in asked)
