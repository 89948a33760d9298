"""Files and folders that a command line names, as texts that mean the same from any folder.

What lies there is named by its absolute path, folders without links, so that what a run with `../small/` read is found
after a `cd`, and is what one with `/data/small` reads. Names of collections, runs and models stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.command_line import CommandLine, Option

if TYPE_CHECKING:
    from irctl.config import Config

SCHEMES = ("hf://", "synthetic:", "irds:", "recipe:", "latest:")
WORDS = ("latest", "none")


class Naming(Enum):
    """What a value may name."""

    FILE = auto()  # a file or folder that may not be there yet
    ANY = auto()  # a file or folder if there is one, else a run or another name
    COLLECTIONS = auto()  # collections by name, else files or folders
    MODEL = auto()  # the default model, a folder, a run or a repository
    FORMAT = auto()  # FORMAT[:FOLDER]
    SHIPPED = auto()  # a recipe or profile by name, or a .toml file


SETTINGS = {
    "data.source": Naming.COLLECTIONS,
    "data.root": Naming.FILE,
    "data.negatives": Naming.ANY,
    "model.name": Naming.MODEL,
    "train.index": Naming.ANY,
    "train.init": Naming.MODEL,
    "train.resume_from": Naming.ANY,
    "loss.guide": Naming.MODEL,
    "hardneg.rescore": Naming.MODEL,
    "compress.source": Naming.ANY,
    "search.watch_docs": Naming.FILE,
    "transform.queries": Naming.FILE,
}
OPTIONS = {
    **dict.fromkeys(("--out", "--queries", "--qrels", "--config"), Naming.FILE),
    **dict.fromkeys(("--index", "--append", "--init", "--baseline", "--negatives", "--run"), Naming.ANY),
    **dict.fromkeys(("--recipe", "--profile"), Naming.SHIPPED),
    "--data": Naming.COLLECTIONS,
    **dict.fromkeys(("--model", "--trained"), Naming.MODEL),
    "--export": Naming.FORMAT,
}
OF_COMMAND = {"compress": {"--data": Naming.ANY}, "train": {"--init": Naming.MODEL}}
"""Where an option of a command names something else."""


def of_config(config: Config) -> Config:
    """The configuration with the files and folders of its settings as they are named from any folder."""
    here = Path.cwd()
    for key in SETTINGS.keys() & config.origins.keys():
        section, _, leaf = key.partition(".")
        given = str(getattr(getattr(config, section), leaf))
        if (named := from_anywhere(given, SETTINGS[key], here)) != given:
            config = config.replace({key: named}, config.origins[key])
    return config


def of_values(context: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a command gets, by parameter. Files that are read or written here and now stay as typed."""
    here, kinds, values = Path.cwd(), _kinds(context.command.name), dict(given)
    arguments = _arguments(context.parent.command.name if context.parent else "")
    for parameter in context.command.params:
        kind = arguments if parameter.param_type_name == "argument" else kinds.get(parameter.opts[0])
        value = values.get(parameter.name)
        if value is None or kind is None or kind is Naming.FILE:
            continue
        several = isinstance(value, (list, tuple))
        values[parameter.name] = (
            [from_anywhere(v, kind, here) for v in value] if several else from_anywhere(str(value), kind, here)
        )
    return values


def _kinds(command: str) -> Mapping[str, Naming]:
    return {**OPTIONS, **OF_COMMAND.get(command, {})}


def _arguments(group: str) -> Naming:
    """What the arguments of a command name: those of `recipes` and `profiles` are recipes and profiles."""
    return Naming.SHIPPED if group in ("recipes", "profiles") else Naming.ANY


def of_line(line: CommandLine, folder: Path) -> CommandLine:
    """A line that was typed in `folder` as it is typed in any."""
    kinds = _kinds(line.name)

    def meant(option: Option) -> Option:
        if option.value is None:
            return option
        if option.name == "--set":
            key, sign, value = option.value.partition("=")
            named = from_anywhere(value, SETTINGS.get(key.strip()), folder)
            return replace(option, value=f"{key}{sign}{named}")
        return replace(option, value=from_anywhere(option.value, kinds.get(option.name), folder))

    arguments = tuple(from_anywhere(a, _arguments(line.command[0]), folder) for a in line.arguments)
    return replace(line, options=tuple(map(meant, line.options)), arguments=arguments)


def from_anywhere(text: str, kind: Naming | None, folder: Path) -> str:
    """A value that was typed in `folder`: the absolute path of what lies there, else as it is.

    PLACE#COLUMN, FILE.json:NAME and BUNDLE:METHOD keep what follows the place.
    """
    if kind is None or not text or text in WORDS or text.startswith(SCHEMES):
        return text
    if kind is Naming.FILE or "{" in text:  # a pattern of run files
        return _absolute(text, folder)
    if kind is Naming.FORMAT:
        name, colon, place = text.partition(":")
        return f"{name}{colon}{_absolute(place, folder)}" if place else text
    if _is_there(text, folder):
        return text if _is_name[kind](text) else _absolute(text, folder)
    if kind is Naming.COLLECTIONS and "," in text:
        return ",".join(from_anywhere(part.strip(), kind, folder) for part in text.split(","))
    for mark in "#:":
        place, found, rest = text.rpartition(mark)
        if found and _is_there(place, folder) and not _is_name[kind](place):
            return f"{_absolute(place, folder)}{mark}{rest}"
    return text


def _path(text: str, folder: Path) -> Path:
    return Path.home() / text[2:] if text.startswith("~/") else folder / text


def _is_there(text: str, folder: Path) -> bool:
    with suppress(OSError):  # a name that the system refuses, such as one that is too long
        return _path(text, folder).exists()
    return False


def _absolute(text: str, folder: Path) -> str:
    """Folders without links; a file keeps its own name, which says what it holds."""
    path = _path(text, folder)
    with suppress(OSError):
        return str(path.resolve() if path.is_dir() else path.parent.resolve() / path.name)
    return text


def _is_collection(text: str) -> bool:
    from irctl.data.collections import cards

    known = cards.key_of(text) is not None or text in (*cards.groups(), cards.ALL)
    return known and not text.startswith((".", "/"))


def _is_default_model(text: str) -> bool:
    from irctl.models.locate import DEFAULT_NAMES

    return text in DEFAULT_NAMES


_is_name: Mapping[Naming, Callable[[str], bool]] = {
    Naming.COLLECTIONS: _is_collection,
    Naming.MODEL: _is_default_model,
    Naming.ANY: lambda text: False,
    Naming.SHIPPED: lambda text: not text.endswith(".toml"),
}
"""Whether a text is a name, whatever lies in the folder under it."""
