"""Recipes: one TOML file an experiment, read and checked.

[meta] says title, source, expected numbers and command; the rest are settings; [tiny] is an overlay that runs on a
CPU in about a minute. [[arms]] makes the recipe a group: each arm has a name and the settings in which it differs, or
names another recipe; `sycl-compare:ws2` is one arm. What an arm does are its `steps`, command lines.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from irctl import config, plugins, shipped_files, tables
from irctl.command_line import CommandLine, Read
from irctl.errors import ConfigError
from irctl.origins import Kind, Origin

NO_SETTINGS = {"name": str, "recipe?": str, "steps?": [str], "after?": (str, list), "seeds?": [int]}
NO_SETTINGS |= {"each?": [int], "over?": {"*": [str]}, "judged?": bool}
"""Entries of an arm beside its settings. An arm is there once for each value of `each`, which stands for {each}, and
of every list in `over`, which stands for the list's name in braces; `judged` ones only where the collection has judged
training queries."""
EACH = "{each}"
META = {
    **dict.fromkeys(("title?", "source?", "command?", "time?", "baseline?", "each?", "queries?", "sets?"), str),
    **{key: [str] for key in ("evaluate?", "report?", "figures?", "tiny_arms?")},
    **{key: [int] for key in ("seeds?", "tiny_seeds?")},
    "expected?": {"*": str},
    "reproduced?": {"lines": [str], "figures": {"*": (int, float)}, "tolerance": (int, float), "cpu_s": int},
}
"""What is read of [meta]; other entries are notes."""
LONGEST_NAME = 100
"""Letters of an arm: runs are named after it."""


def _path(name: str) -> Path:
    return shipped_files.path("recipes", name)


def read(name: str) -> dict[str, Any]:
    """The recipe's tables. Raises ConfigError if it is not TOML, or for an entry of [meta] of another type."""
    table = config.read_toml(path := _path(name))
    tables.check(table.get("meta", {}), META, f"{path.name}: [meta]", error=ConfigError)
    return table


def arms(name: str) -> dict[str, dict[str, Any]]:
    """Arms of a group recipe by name, in file order; empty for any other recipe. Raises ConfigError for unfit names."""
    listed, where = read(name).get("arms", []), _path(name).name
    for i, table in enumerate(listed):
        tables.check(table, {"name": str}, f"{where}: arms[{i}]", error=ConfigError)
        tables.check(table.get("each", []), [int], f"{where} [{table['name']}]: each", error=ConfigError)
        tables.check(table.get("over", {}), {"*": [str]}, f"{where} [{table['name']}]: over", error=ConfigError)
    listed = [one for table in listed for one in _expand(table)]
    by_name = {t["name"]: dict(t) for t in listed}
    if any(
        not n.isprintable() or not 0 < len(n) <= LONGEST_NAME or not {":", "/", "\0"}.isdisjoint(n) for n in by_name
    ):
        raise ConfigError(f"{where}: [[arms]]: expected names of up to {LONGEST_NAME} letters, without colon and slash")
    if len(by_name) != len(listed):
        raise ConfigError(f"{where}: [[arms]]: expected a name of its own for each")
    for arm, table in by_name.items():
        tables.check(table, NO_SETTINGS, f"{where} [{arm}]", error=ConfigError)
        if table.get("steps") == []:
            raise ConfigError(f"{where} [{arm}]: steps: expected command lines, found an empty list")
        if isinstance(after := table.get("after"), list):
            tables.check(after, [str], f"{where} [{arm}]: after", error=ConfigError)
    return by_name


def arms_of(name: str) -> list[str]:
    """GROUP:ARM of each arm that is this recipe: what a run of it is called that was started by its group."""
    groups = [
        g for g in shipped_files.names("recipes") if any(t.get("recipe") == name for t in read(g).get("arms", []))
    ]
    return [f"{g}:{arm}" for g in groups for arm, table in arms(g).items() if table.get("recipe") == name]


def _expand(table: dict[str, Any]) -> list[dict[str, Any]]:
    """An arm with `each` or `over` as one for each of their values; any other as it is."""
    arms_of_it = [{k: v for k, v in table.items() if k not in ("each", "over")}]
    for name, values in (("each", table.get("each")), *table.get("over", {}).items()):
        if values is not None:
            arms_of_it = [_filled(arm, f"{{{name}}}", str(value)) for arm in arms_of_it for value in values]
            if name == "each":
                arms_of_it = [{**arm, "each": [value]} for arm, value in zip(arms_of_it, values, strict=True)]
    return arms_of_it


def _filled(value: Any, brace: str, word: str) -> Any:
    if isinstance(value, dict):
        return {k: _filled(v, brace, word) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, brace, word) for v in value]
    return value.replace(brace, word) if isinstance(value, str) else value


def has_tiny(name: str) -> bool:
    """Whether a recipe, or one of the two that an arm is made of, has a [tiny] overlay."""
    if ":" not in name or Path(name).is_file():
        return "tiny" in read(name)
    group, _, arm = name.rpartition(":")
    below = str(arms(group).get(arm, {}).get("recipe", ""))
    return has_tiny(group) or (bool(below) and has_tiny(below))


def command(name: str, reading: Read) -> CommandLine:
    """The line that runs a recipe without arms: its [meta] command; else train, or compress if it says how."""
    table = read(name)
    line = reading(shlex.split(str(table.get("meta", {}).get("command", "")) or "irctl train"))
    if "--recipe" not in line.takes:  # `recipes run` itself
        line = reading(("compress",) if "compress" in table else ("train",))
    return line.with_option("--recipe", name)


def layer(name: str, *, tiny: bool = False) -> config.Layer:
    """The configuration layer of a recipe, with file:line origins. `GROUP:ARM`: the group's settings, then the arm's.

    An arm's `recipe` lies below both: what another recipe says, where neither the group nor the arm does. The group's
    [tiny] lies above its arms: an arm of 225 steps would not be small.
    """
    if ":" not in name or Path(name).is_file():
        file = _path(name)
        return config.from_file(file, tiny=tiny, whole=Origin(Kind.RECIPE, file.name))
    group, _, arm = name.rpartition(":")
    legal = arms(group)
    if arm not in legal:
        raise ConfigError(f"{_path(group).name}: no arm named '{arm}'", hint=plugins.nearest(arm, list(legal)))
    table = legal[arm]
    below = layer(str(table["recipe"]), tiny=tiny) if "recipe" in table else {}
    common = layer(group, tiny=tiny and (not below or "tiny" in read(group)))
    own = {k: v for k, v in table.items() if k not in {n.removesuffix("?") for n in NO_SETTINGS}}
    origin = Origin(Kind.RECIPE, _path(group).name, arm=arm)
    small = {k for k, (_, of) in common.items() if of.tiny}
    return {**below, **common, **{k: (v, origin) for k, v in config.flatten(own) if k not in small}}


def check(name: str) -> list[str]:
    """Everything wrong with a recipe, one line each: keys, ranges, a missing [meta] entry or [tiny] overlay."""
    table, wrong = read(name), []
    meta = table.get("meta", {})
    wrong += [f"{_path(name).name}: [meta] lacks '{k}'" for k in ("title", "source", "command") if not meta.get(k)]
    if "tiny" not in table and "arms" not in table:
        wrong.append(f"{_path(name).name}: has no [tiny] overlay")
    for tiny in (False, True):
        if tiny and "tiny" not in table:
            continue
        for one in (name, *(f"{name}:{arm}" for arm in table.get("arms", []) and arms(name))):
            try:
                config.resolve(layer(one, tiny=tiny))
            except ConfigError as e:
                wrong.append(str(e))
    return wrong
