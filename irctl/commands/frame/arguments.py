"""What a function of the Python door is given, held against its own annotations: one line that names the argument.

Errors of what is behind the door speak of options; where they say whence a value came, that becomes the argument.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, ParamSpec, TypeVar

from irctl.errors import ConfigError, IrctlError

P = ParamSpec("P")
R = TypeVar("R")


def is_array(value: Any) -> bool:
    """Whether it is an array of numbers, of numpy or torch."""
    return hasattr(value, "ndim") and getattr(getattr(value, "dtype", None), "kind", "f") in "fiu"


KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "str": ("a text", lambda v: isinstance(v, str)),
    "Path": ("a path", lambda v: isinstance(v, os.PathLike)),
    "int": ("a whole number", lambda v: hasattr(v, "__index__") and not isinstance(v, bool)),  # numpy's own too
    "bool": ("True or False", lambda v: isinstance(v, bool) or type(v).__name__ == "bool"),
    "Settings": ("a dict of settings", lambda v: isinstance(v, Mapping) and all(isinstance(k, str) for k in v)),
    "NDArray[np.float32]": ("an array of vectors", lambda v: is_array(v) and v.ndim == 2),
    "Sequence[str]": ("a list of texts", lambda v: hasattr(v, "__iter__") and not isinstance(v, Mapping)),
    "None": ("", lambda v: v is None),
}
"""A part of an annotation -> (what a message calls it, whether a value is one)."""
HINTS = {"Settings": '{"section.key": value}', "NDArray[np.float32]": "numpy.asarray(rows, dtype=numpy.float32)"}


ORIGIN = re.compile(r"\b(from|with) (?:option -*|--)([\w.-]*\w)")
"""Whence an error says that a value came, or what with."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function; it raises ConfigError for an argument that is not what it is annotated with."""
    signature = inspect.signature(function)
    door = function.__qualname__

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            parameter = signature.parameters[name]
            if name != "self":
                several = parameter.kind is inspect.Parameter.VAR_POSITIONAL
                for one in value if several else [value]:
                    _check(f"{door}: {name}", one, str(parameter.annotation).split(" | "))
        try:
            return function(*args, **kwargs)
        except IrctlError as e:
            e.message = ORIGIN.sub(functools.partial(_name_argument, signature.parameters), e.message)
            raise

    return call


def _name_argument(names: Collection[str], found: re.Match[str]) -> str:
    """As the function calls it; an option that it has no argument for stays one."""
    name = found[2].replace("-", "_")
    if name == "set":
        return f"{found[1]} settings"
    if name not in names:
        return found[0]
    return f"from the argument {name}" if found[1] == "from" else f"with {name}"


def _check(where: str, value: Any, kinds: list[str]) -> None:
    """ConfigError for a value that is of none of these kinds."""
    if any(KINDS[kind][1](value) for kind in kinds):
        return
    names = [KINDS[kind][0] for kind in kinds if KINDS[kind][0]]
    expected = f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
    raise ConfigError(
        f"{where}: expected {expected}, found {describe(value)}",
        hint=next((HINTS[kind] for kind in kinds if kind in HINTS), ""),
    )


def describe(value: Any) -> str:
    """A value in a few words: its type, and its shape, size or beginning."""
    kind = type(value).__name__
    if (shape := getattr(value, "shape", None)) is not None:
        return f"{kind} of shape {tuple(shape)}, {getattr(value, 'dtype', 'several types')}"
    if isinstance(value, Mapping) and value:
        return f"a {kind} with the key {next(iter(value))!r}"
    if isinstance(value, list | tuple | set | Mapping):
        return f"a {kind} of {len(value)}"
    shown = repr(value)
    return f"{shown if len(shown) <= 40 else f'{shown[:40]}...'} ({kind})"
