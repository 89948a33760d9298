"""The tables of an mqrel configuration, read and checked: sources of graded judgements and what is done with each."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irctl import plugins, tables
from irctl.data.collections.source_tables import IGNORED, PATH_KEYS, read_table
from irctl.data.judgements.source_rules import SourceRules
from irctl.errors import ConfigError

LISTS = ("mqrel", "pos_mqrel", "neg_mqrel")
CONFLICTS = ("last", "max", "error")


@dataclass(frozen=True, kw_only=True)
class SourceSpec:
    """One source object. Paths are lists of files or hf:// names; `where` is for messages."""

    qrel_path: tuple[str, ...] = ()
    query_path: tuple[str, ...] = ()
    corpus_path: tuple[str, ...] = ()
    query_subset_path: tuple[str, ...] = ()
    source: str = ""
    weight: float = 1.0
    rules: SourceRules = dataclasses.field(default_factory=SourceRules)
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class MqrelConfig:
    """Sources of a configuration. notices: what was accepted and has no effect."""

    graded: tuple[SourceSpec, ...] = ()
    positives: tuple[SourceSpec, ...] = ()
    negatives: tuple[SourceSpec, ...] = ()
    on_conflict: str = ""
    notices: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[SourceSpec, ...]:
        return (*self.graded, *self.positives, *self.negatives)


def read_config(path: Path) -> MqrelConfig:
    """The configuration in a file. Raises ConfigError naming an unknown key with its line and the nearest legal one."""
    table, text = read_table(path), path.read_text()
    if table and not any(key in table for key in LISTS) and all(isinstance(v, Mapping) for v in table.values()):
        hint = f"Name one: {path}:{next(iter(table))}"
        raise ConfigError(f"{path}: an evaluation configuration of {len(table)} sets", hint=hint)

    def where(key: str, before: int = 0) -> str:
        name = re.escape(key)
        pattern = rf'^\s*(\[*{name}\]+|"?{name}"?\s*=)' if path.suffix == ".toml" else rf'"{name}"\s*:'
        places = list(re.finditer(pattern, text, re.MULTILINE))
        start = places[min(before, len(places) - 1)].end() if places else 0
        return f"{path}:{text.count(chr(10), 0, start) + 1}" if places else str(path)

    return parse_config(table, where)


def parse_config(
    table: Mapping[str, Any], where: Callable[[str, int], str] = lambda key, before: "mqrel"
) -> MqrelConfig:
    """The configuration in a table; from Python, callables may stand where the file has keys of rules."""
    top = (*LISTS, "on_conflict")
    for key in table:
        if key not in top:
            raise ConfigError(f"{where(key, 0)}: no key named '{key}'", hint=plugins.nearest(key, top))
    table = {k: v for k, v in table.items() if v is not None}  # null says nothing, for every key
    on_conflict = table.get("on_conflict", "")
    if on_conflict not in ("", *CONFLICTS):
        legal, found = ", ".join(CONFLICTS), tables.shown(on_conflict)
        raise ConfigError(f"{where('on_conflict', 0)}: on_conflict: expected {legal}, found {found}")
    lists = {key: table[key] if isinstance(table[key], list) else [table[key]] for key in table if key in LISTS}
    if empty := next((key for key, sources in lists.items() if not sources), None):
        raise ConfigError(f"{where(empty, 0)}: {empty}: expected an object or a list of them, found an empty list")
    notices = {
        f"{k} has no effect: caches follow content"
        for s in lists.values()
        for o in s
        if isinstance(o, Mapping)
        for k in IGNORED
        if k in o
    }
    specs = _specs(lists, where)
    if ("pos_mqrel" in specs) != ("neg_mqrel" in specs):
        given, absent = ("pos_mqrel", "neg_mqrel") if "pos_mqrel" in specs else ("neg_mqrel", "pos_mqrel")
        raise ConfigError(
            f"{where(given, 0)}: {given} without {absent}", hint=f"Add {absent}, or use mqrel for graded data"
        )
    if not specs:
        raise ConfigError(f"{where('mqrel', 0)}: no mqrel, and no pos_mqrel with neg_mqrel")
    binary = "pos_mqrel" in specs
    return MqrelConfig(
        graded=() if binary else specs["mqrel"],
        positives=specs.get("pos_mqrel", ()),
        negatives=specs.get("neg_mqrel", ()),
        on_conflict=on_conflict,
        notices=tuple(sorted(notices)),
    )


def _specs(lists: Mapping[str, list[Any]], where: Callable[[str, int], str]) -> dict[str, tuple[SourceSpec, ...]]:
    """The sources of every list, in the order of the file, which is how a key's line is found."""
    specs: dict[str, tuple[SourceSpec, ...]] = {}
    seen: Counter[str] = Counter()
    for name, sources in lists.items():
        own = []
        for i, one in enumerate(sources):
            keys = dict.fromkeys(one) if isinstance(one, Mapping) else {}

            def line_of(key: str, name: str = name, keys: Mapping[str, Any] = keys) -> str:
                shown = key if key in keys else next(iter(keys), name)  # an absent key: where its source begins
                return where(shown, seen[shown])

            own.append(_source(one, f"{name}[{i}]", line_of))
            seen.update(list(keys))
        specs[name] = tuple(own)
    return specs


def _source(table: Any, place: str, where: Callable[[str], str]) -> SourceSpec:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where('')}: {place}: expected an object, found {tables.shown(table)}")
    rules = {f.name for f in dataclasses.fields(SourceRules)}
    legal = (*PATH_KEYS, "query_subset_path", "source", "weight", *IGNORED, *sorted(rules))
    for key in table:
        if key not in legal:
            raise ConfigError(f"{where(key)}: {place}: no key named '{key}'", hint=plugins.nearest(key, legal))
    table = {k: v for k, v in table.items() if v is not None}
    paths = {k: _paths(table.get(k), f"{where(k)}: {place}.{k}") for k in (*PATH_KEYS, "query_subset_path")}
    if not paths["corpus_path"] or (paths["qrel_path"] and not paths["query_path"]):
        absent = "corpus_path" if not paths["corpus_path"] else "query_path"
        raise ConfigError(f"{where('corpus_path')}: {place}: no {absent}")
    name, weight = table.get("source", ""), table.get("weight", 1.0)
    if not isinstance(name, str):
        raise ConfigError(f"{where('source')}: {place}: source: expected a text, found {tables.shown(name)}")
    if not (tables.is_number(weight) and weight > 0):
        raise ConfigError(
            f"{where('weight')}: {place}: weight: expected a number above 0, found {tables.shown(weight)}"
        )
    return SourceSpec(
        **paths,
        source=name or place,
        weight=float(weight),
        rules=SourceRules.checked({k: v for k, v in table.items() if k in rules}, where, place),
        where=place,
    )


def _paths(value: Any, where: str) -> tuple[str, ...]:
    values = [] if value is None else value if isinstance(value, list) else [value]
    for v in values:
        if not isinstance(v, (str, Path)) or not str(v) or "\0" in str(v):
            found = ("a list with " if isinstance(value, list) else "") + tables.shown(v)
            raise ConfigError(f"{where}: expected a path or a list of paths, found {found}")
    return tuple(map(str, values))
