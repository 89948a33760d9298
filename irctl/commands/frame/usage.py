"""What the parser refuses, in the form of every other error: what, expected, found, and what comes next.

Typer's own sentences name neither what was found nor what would do; its exceptions are told apart by their names, for
their classes are no part of its interface. A sentence that is not known here stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

EXAMPLES = "\b\nExamples:"
"""What parts the help of a command from its examples."""
EXPECTED = (
    (r"valid number", "a number"),
    (r"valid integer", "a whole number"),
    (r"greater than or equal to (\S+)", "{} or more"),
    (r"greater than (\S+)", "more than {}"),
    (r"less than or equal to (\S+)", "{} or less"),
    (r"less than (\S+)", "less than {}"),
)
"""Parts of the parser's sentences on a value, and what they expect."""


def is_usage_error(error: BaseException) -> bool:
    """By what all of Typer's have in common."""
    return hasattr(error, "format_message")


def describe(error: Any, root: Any, words: Sequence[str]) -> tuple[str, str]:
    """(message without its end, next step). root: the command of the whole program; words: of the line, without it."""
    command, path = _find(root, words)
    lists = f"{path} --help lists the options"
    kind, said = type(error).__name__, " ".join(error.format_message().split())
    if kind == "MissingParameter":
        example = " ".join(line.rstrip("\\").strip() for line in first_example(command.epilog or "").splitlines())
        message = f"{_usage(command, path)}: expected {_name(error.param)}, found nothing"
        return message, f"Such as: {example}" if example else lists
    if kind == "NoSuchOption":
        near = ", ".join(error.possibilities or ())
        return f"{path}: no option {error.option_name}", f"Did you mean {near}? {lists}" if near else lists
    if kind == "BadOptionUsage":
        expected = "a value, found nothing" if "requires" in said else "no value"
        return f"{error.option_name}: expected {expected}", lists
    if kind == "BadParameter":
        return _describe_value(error, words, said), lists
    if found := re.fullmatch(r"No such command (.+?)\.(?: (Did you mean .+))?", said):
        return f"no command {found[1]}", f"{found[2] or ''} {path} --help lists the commands".strip()
    if found := re.fullmatch(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", said):
        return f"{_usage(command, path)}: expected no more, found {found[1] or 'an empty text'}", lists
    return said.rstrip("."), lists


def first_example(epilog: str) -> str:
    """The first line under `Examples:`, with those that it goes on in."""
    lines = epilog.partition(EXAMPLES)[2].lstrip("\n").splitlines()
    ends = next((i for i, line in enumerate(lines) if not line.endswith("\\")), 0)
    return "\n".join(lines[: ends + 1])


def _describe_value(error: Any, words: Sequence[str], said: str) -> str:
    """A value that is none of its option; what irctl itself refuses says already what was found."""
    hint = error.param_hint or (error.param and _name(error.param))
    if not hint:
        return said.rstrip(".")
    expected = next(
        (form.format(*m.groups()) for part, form in EXPECTED if (m := re.search(part, error.message))), None
    )
    if expected is None:
        return f"{hint}: {error.message}".rstrip(".")
    found = _found(error.param, words) if error.param else None
    return f"{hint}: expected {expected}" + (f", found '{found}'" if found is not None else "")


def _find(root: Any, words: Sequence[str]) -> tuple[Any, str]:
    """(the command that a line names, as far as it names one, how it is typed)."""
    command, path = root, "irctl"
    for word in words:
        if word not in getattr(command, "commands", {}):
            break
        command, path = command.commands[word], f"{path} {word}"
    return command, path


def _usage(command: Any, path: str) -> str:
    """The command with its arguments, such as `irctl runs tag RUN TAGS...`."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    names = [_name(p) + ("..." if p.nargs == -1 else "") for p in arguments]
    return " ".join([path, *(n if p.required else f"[{n}]" for n, p in zip(names, arguments, strict=True))])


def _name(parameter: Any) -> str:
    """As a person types it: the longest name of an option, an argument in capitals."""
    return str(max(parameter.opts, key=len) if parameter.param_type_name == "option" else parameter.name.upper())


def _found(parameter: Any, words: Sequence[str]) -> str | None:
    """The last value of an option on the line."""
    values = []
    for i, word in enumerate(words):
        name, sign, value = word.partition("=")
        if name in parameter.opts and (sign or i + 1 < len(words)):
            values.append(value if sign else words[i + 1])
    return values[-1] if values else None
