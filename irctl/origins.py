"""Where the value of a setting came from: decisions ask its kind, people and stored JSON get its text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache


class Kind(Enum):
    """What put a value there; its value is the word that the text begins with."""

    DEFAULT = "default"
    METHOD = "method"
    COLLECTION = "collection"
    PROFILE = "profile"
    RECIPE = "recipe"
    FILE = ""  # a TOML file of --config
    OPTION = "option"
    SET = "--set"
    MEASURED = "measured"  # on the run's own data
    MINED = "mined"  # by the run itself
    TAKEN = "taken"  # the newest that fitted, where nothing was named
    DERIVED = "derived"  # by irctl from other values, or from a run or index that was named


_ALONE = {k.value: k for k in (Kind.DEFAULT, Kind.SET, Kind.MEASURED, Kind.MINED, Kind.TAKEN)}
_NAMED = {k.value: k for k in (Kind.METHOD, Kind.COLLECTION, Kind.PROFILE, Kind.OPTION)}
_ARM = re.compile(r"(?P<name>.+?) \[(?P<arm>.+)\]", re.DOTALL)
_LINE = re.compile(r"(?P<name>.+):(?P<line>[1-9][0-9]*)(?P<tiny> \[tiny\])?", re.DOTALL)


@dataclass(frozen=True)
class Origin:
    """name: of the method, collection, profile, option or file; of a derived value what it was derived from.

    line (from 1) and tiny, its [tiny] overlay, are of a file; an arm is of a group recipe.
    """

    kind: Kind
    name: str = ""
    line: int = 0
    tiny: bool = False
    arm: str = ""

    def __str__(self) -> str:
        word = "" if self.kind is Kind.DERIVED else self.kind.value
        line = f":{self.line}" if self.line else ""
        part = " [tiny]" if self.tiny else f" [{self.arm}]" if self.arm else ""
        return f"{word} {self.name}".strip() + line + part


COMMAND_LINE = (Kind.OPTION, Kind.SET)
CHOSEN = (*COMMAND_LINE, Kind.FILE)
"""Origins of a value that somebody wrote for what runs now. A recipe's, a profile's and a collection's are for many."""
DEFAULT, SET, MEASURED, MINED, TAKEN = (Origin(k) for k in _ALONE.values())


def outranks(one: Origin, other: Origin) -> bool:
    """Whether a value was typed and the other came from a recipe, a file or a layer below."""
    return one.kind in COMMAND_LINE and other.kind not in COMMAND_LINE


def derived(name: str) -> Origin:
    """Of a value that irctl puts in the place of another; name: from what, or for what."""
    return Origin(Kind.DERIVED, name)


@lru_cache(maxsize=4096)  # of a few origins, a report asks hundreds of times a run
def parse(text: str) -> Origin:
    """The origin whose text is `text`, as a run's config.json has it; what none of the kinds writes is derived."""
    if text in _ALONE:
        return Origin(_ALONE[text])
    word, _, name = text.partition(" ")
    if word in _NAMED and name:
        return Origin(_NAMED[word], name)
    kind, name = (Kind.RECIPE, name) if word == Kind.RECIPE.value and name else (Kind.FILE, text)
    if found := _LINE.fullmatch(name):
        return Origin(kind, found["name"], int(found["line"]), tiny=bool(found["tiny"]))
    if kind is Kind.RECIPE and (found := _ARM.fullmatch(name)):
        return Origin(kind, found["name"], arm=found["arm"])
    return Origin(kind, name) if kind is Kind.RECIPE else derived(text)
