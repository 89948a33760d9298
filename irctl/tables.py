"""JSON and TOML that somebody else may have written: whatever is wrong with it is one line with its place.

The libraries raise by the fault: ValueError for syntax, bytes and integers of thousands of digits, RecursionError for
deep nesting. Every file that comes from outside is read here, so that no caller has to know them.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from irctl import files
from irctl.errors import ConfigError, DataError, IrctlError

LARGEST_INT = (1 << 63) - 1
"""What SQLite, Arrow and numpy hold."""
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_NAMES: dict[type[Any], str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
_NAMES |= {dict: "an object", list: "a list"}

Raised = type[IrctlError]


def parse_json(
    text: str | bytes,
    where: str,
    *,
    hint: str = "",
    error: Raised = DataError,
    pairs: Callable[[Any], Any] | None = None,
) -> Any:
    """The value of a JSON text; `error` with its place where it is none, or holds half a character.

    pairs: makes what stands for an object of its (key, value) pairs, a repeated key among them; else the last counts.
    """
    return _parsed(lambda: _json(text, pairs), "JSON", where, hint, error)


def json_object(
    path: Path, *, label: str = "", hint: str = "", missing: str = "", error: Raised = DataError
) -> dict[str, Any]:
    """The object in a JSON file. label: what messages on its content call it. missing: the hint where it is not."""
    label, content = label or str(path), _bytes(path, hint, missing, error)
    return as_object(parse_json(content, label, hint=hint, error=error), label, hint=hint, error=error)


def toml_table(path: Path, *, label: str = "", hint: str = "", error: Raised = ConfigError) -> dict[str, Any]:
    """The tables of a TOML file. label: what messages call it."""
    data = _bytes(path, hint, hint, error)
    found: dict[str, Any] = _parsed(lambda: tomllib.loads(data.decode()), "TOML", label or str(path), hint, error)
    return found


def as_object(value: Any, where: str, *, hint: str = "", error: Raised = DataError) -> dict[str, Any]:
    """The value, if it is an object with keys."""
    if not isinstance(value, dict):
        raise error(f"{where}: expected a JSON object, found {shown(value)}", hint=hint)
    return value


def check(value: Any, shape: Any, where: str, *, hint: str = "", error: Raised = DataError) -> None:
    """Raise `error` naming the first place of `value` that is not of this shape.

    A shape is a type; {key: shape}, where `key?` may be absent or null, `*` stands for every other key, and without it
    further keys are free; [shape], a list of such; a frozenset of texts, one of them; or a tuple of types. A whole
    number is a number too, true is none, and none is beyond 64 bits.
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise error(f"{where}: expected an object, found {shown(value)}", hint=hint)
        if "*" in shape:
            listed = {k.removesuffix("?") for k in shape}
            others = {k: shape["*"] for k in value if k not in listed}
            shape = others | {k: v for k, v in shape.items() if k != "*"}
        for key, inner in shape.items():
            name = key.removesuffix("?")
            if key != name and value.get(name) is None:
                continue
            if name not in value:
                raise error(f"{where}: no key '{name}'", hint=hint)
            check(value[name], inner, f"{where}: {name}", hint=hint, error=error)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise error(f"{where}: expected a list, found {shown(value)}", hint=hint)
        for i, one in enumerate(value):
            check(one, shape[0], f"{where}[{i}]", hint=hint, error=error)
    elif isinstance(shape, frozenset):
        if not isinstance(value, str) or value not in shape:
            raise error(f"{where}: expected one of {', '.join(sorted(shape))}, found {shown(value)}", hint=hint)
    else:
        kinds = shape if isinstance(shape, tuple) else (shape,)
        if not any(_is(value, kind) for kind in kinds):
            named = " or ".join(_NAMES[k] for k in kinds)
            raise error(f"{where}: expected {named}, found {shown(value)}", hint=hint)


def shown(value: Any) -> str:
    """A value for a message, as a file writes it, cut short."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    try:
        text = repr(value) if isinstance(value, (str, int, float)) else _NAMES.get(type(value), type(value).__name__)
    except ValueError:  # an integer of more digits than Python prints
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_number(value: Any) -> bool:
    """Whether a value is a finite number: true is none, nor is a whole number beyond 64 bits."""
    return _is(value, int) or (isinstance(value, float) and math.isfinite(value))


def is_count(value: Any) -> bool:
    """Whether a value is a whole number above 0, of 64 bits."""
    return _is(value, int) and value > 0


def convert(value: Any, kind: Any) -> tuple[Any, bool]:
    """(value as kind, whether it can be one): text of the command line and typed values of TOML alike.

    kind: the type of a setting: int, float, bool, str or NoneType.
    """
    if kind is types.NoneType:
        return None, value is None or (isinstance(value, str) and value.lower() == "none")
    if kind is bool:
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true", True
        return value, isinstance(value, bool)
    if kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            return value, False
        try:
            number = float(value) if kind is float else int(value) if isinstance(value, str) else value
        except (ValueError, OverflowError):
            return value, False
        if kind is float:
            return number, math.isfinite(number)
        is_whole = isinstance(number, int) or number.is_integer()
        return (int(number), True) if is_whole else (value, False)
    if kind is str:
        if isinstance(value, bool):
            return str(value).lower(), True
        if isinstance(value, (list, tuple)):
            return ",".join(map(str, value)), all(_is_word(v) for v in value)
        return (str(value), True) if _is_word(value) else (value, False)
    return value, False


def _is_word(value: Any) -> bool:
    """Whether a text can say a value without brackets: a text or a number, no table, date or list."""
    return isinstance(value, str) or is_number(value)


def _is(value: Any, kind: type[Any]) -> bool:
    if kind in (int, float) and isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= LARGEST_INT
    return isinstance(value, kind)


def _json(text: str | bytes, pairs: Callable[[Any], Any] | None = None) -> Any:
    text = text if isinstance(text, str) else text.decode()
    value = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=pairs)
    if "\\u" in text and SURROGATE.search(text):
        json.dumps(value, ensure_ascii=False).encode()  # raises for half of a pair
    return value


def _parsed(parse: Callable[[], Any], kind: str, where: str, hint: str, error: Raised) -> Any:
    try:
        return parse()
    except UnicodeEncodeError:
        raise error(f"{where}: expected Unicode text, found a lone surrogate", hint=hint) from None
    except RecursionError:
        raise error(f"{where}: not valid {kind}: nested too deeply", hint=hint) from None
    except ValueError as e:
        line = f":{e.lineno}" if isinstance(e, json.JSONDecodeError) and e.lineno > 1 else ""
        raise error(f"{where}{line}: not valid {kind}: {e}", hint=hint) from None


def _bytes(path: Path, hint: str, missing: str, error: Raised) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path}: no such file", hint=missing or hint) from None
    except OSError as e:
        raise files.read_error(path, e, hint=hint, kind=error) from None
