"""The settings as a JSON Schema (draft 2020-12): what a recipe, or a run's configuration, may say."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from irctl import config, plugins
from irctl.errors import ConfigError
from irctl.settings import LARGEST, SECTIONS, Prompts

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPES: dict[Any, str] = {int: "integer", float: "number", str: "string", bool: "boolean", types.NoneType: "null"}
PLUGINS = (("quantizers", ""), ("methods", ""), ("losses", "loss"), ("regularizers", "regularizer"))
"""Packages whose files have settings of their own, and the section that they stand in."""


LISTS = (("loss", "name", "losses"), ("train", "regularizer", "regularizers"), ("compress", "method", "quantizers"))
"""Settings whose values are lists of plug-in files, with weights or without, and the package of these."""


def make_schema() -> dict[str, Any]:
    """The whole: an object a section, within it a setting each; of plug-in files an object each, as TOML nests them."""
    sections: dict[str, Any] = {name: _section(cls, name) for name, cls in SECTIONS.items()}
    sections["prompts"] = {
        "type": "object",
        "description": "prompts of single data sets, by their names",
        "additionalProperties": _section(Prompts, "prompts.DATASET"),
    }
    sections["regularizer"] = {"type": "object", "properties": {}, "additionalProperties": False}
    for package, section in PLUGINS:
        inside = sections[section]["properties"] if section else sections
        for name in plugins.names(package):
            if (cls := plugins.config_class(package, name)) is not None:
                key = f"{section}.{name}".lstrip(".")
                inside[name] = _section(cls, key, plugins.comments(package, name))
                inside[name]["description"] = plugins.summary(package, name)
    sections["train"]["properties"]["method"]["enum"] = list(plugins.names("methods"))
    for section, name, package in LISTS:
        sections[section]["properties"][name]["examples"] = list(plugins.names(package))
    return {
        "$schema": DIALECT,
        "title": "settings of irctl",
        "type": "object",
        "properties": {
            **sections,
            "meta": {"type": "object", "description": "of a recipe: title, source, expected values, command"},
            "tiny": {"$ref": "#", "description": "of a recipe: settings of --tiny"},
            "arms": {"type": "array", "items": {"type": "object"}, "description": "of a group: its recipes"},
        },
        "additionalProperties": False,
    }


def list_settings(schema: Mapping[str, Any] | None = None, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(key, its part of the schema) of every setting."""
    for name, part in (schema or make_schema())["properties"].items():
        if "x-section" in part:
            yield f"{prefix}{name}", part
        elif part.get("properties"):
            yield from list_settings(part, f"{prefix}{name}.")
        elif isinstance(part.get("additionalProperties"), dict):
            yield from list_settings(part["additionalProperties"], f"{prefix}{name}.DATASET.")


def show_value(value: Any) -> str:
    """A default as one types it."""
    if value is None:
        return "unset"
    return "empty" if value == "" else str(value).lower() if isinstance(value, bool) else str(value)


def describe_values(part: Mapping[str, Any]) -> str:
    """The legal values of a setting in words."""
    if "enum" in part:
        words = ["empty" if v == "" else v for v in part["enum"] if not isinstance(v, bool)]
        return f"one of {', '.join(map(str, words))}"
    if "examples" in part:
        return f"of {', '.join(part['examples'])}"
    if "anyOf" in part:
        return " or ".join(describe_values(p) for p in part["anyOf"])
    kinds: list[str] = part["type"] if isinstance(part["type"], list) else [part["type"]]
    named = {"string": "text", "integer": "whole number", "boolean": "true or false", "null": "none"}
    told = " or ".join(named.get(k, k) for k in kinds if not (k == "number" and "string" in kinds))
    low, high = part.get("minimum"), part.get("maximum")
    low, high = (None if low == -LARGEST else low), (None if high == LARGEST else high)
    if low is not None and high is not None:
        return f"{told}, {low} to {high}"
    return f"{told}, {low} or more" if low is not None else f"{told}, at most {high}" if high is not None else told


def _section(cls: type[Any], name: str, comments: Mapping[str, str] | None = None) -> dict[str, Any]:
    hints = config.hints(cls)
    known = comments or {}
    settings = {
        f.name.rstrip("_"): _setting(f, hints[f.name], name, known.get(f.name, "")) for f in dataclasses.fields(cls)
    }
    for f in dataclasses.fields(cls):
        part = settings[f.name.rstrip("_")]
        if part.get("minimum") == -LARGEST:
            part["minimum"] = _find_minimum(cls, f.name)
    return {"type": "object", "properties": settings, "additionalProperties": False}


def _find_minimum(cls: type[Any], name: str) -> int:
    """The smallest whole number that a class takes, of those that classes begin at."""
    for value in (-LARGEST, *range(-1, 17)):
        with contextlib.suppress(ConfigError):
            cls(**{name: value})
            return int(value)
    return int(-LARGEST)


def _setting(spec: dataclasses.Field[Any], hint: Any, section: str, comment: str) -> dict[str, Any]:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    meta = spec.metadata
    part: dict[str, Any] = _values(kinds, list(meta.get("choices") or ()), meta.get("low"), meta.get("high"))
    if spec.default is not dataclasses.MISSING:
        part["default"] = spec.default
    part["description"] = meta.get("help") or comment
    return {**part, "x-section": section}


def _values(kinds: tuple[Any, ...], choices: list[str], low: Any, high: Any) -> dict[str, Any]:
    """type, enum, minimum, maximum. A text may be written as the number it looks like, and true and false as such."""
    if choices and float in kinds:
        return {"anyOf": [_values((float,), [], low, high), {"type": "string", "enum": choices}]}
    if choices:
        as_words: list[Any] = [c == "true" for c in choices if c in ("true", "false")]
        return {"type": ["string", "boolean"] if as_words else "string", "enum": [*choices, *as_words]}
    names = [TYPES[k] for k in kinds]
    if "string" in names:
        names.append("number")
    part: dict[str, Any] = {"type": names[0] if len(names) == 1 else names}
    if int in kinds:
        low, high = -LARGEST if low is None else low, LARGEST if high is None else high
    return part | ({} if low is None else {"minimum": low}) | ({} if high is None else {"maximum": high})
