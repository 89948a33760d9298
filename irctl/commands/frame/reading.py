"""Reading a command line by what Typer declares of its command: names, short forms, flags, what is repeatable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from irctl.command_line import CommandLine, Option, Read
from irctl.commands.frame import usage
from irctl.commands.frame.options import ROLES
from irctl.errors import ConfigError
from irctl.plugins import nearest


def reader(root: Any) -> Read:
    """What reads the command lines below `root`, the command of the whole program."""

    def read(words: Sequence[str]) -> CommandLine:
        rest = list(words[1:] if list(words[:1]) == ["irctl"] else words)
        command = root
        path: tuple[str, ...] = ()
        while (inner := getattr(command, "commands", None)) is not None:
            word = rest.pop(0) if rest else ""
            if word not in inner:
                said = " ".join(("irctl", *path, word)).strip()
                raise ConfigError(f"{said}: no such command", hint=nearest(word, list(inner)))
            command, path = inner[word], (*path, word)
        try:
            return _read(root, command, path, rest)
        except Exception as e:
            if not usage.is_usage_error(e):
                raise
            message, hint = usage.describe(e, root, (*path, *rest))
            where = f"irctl {' '.join(path)}"
            raise ConfigError(message if message.startswith(where) else f"{where}: {message}", hint=hint) from None

    return read


def _read(root: Any, command: Any, path: tuple[str, ...], rest: list[str]) -> CommandLine:
    """The line of one command. Its values are converted too, so that one that Typer would refuse is refused here."""
    program = root.context_class(root, info_name="irctl", **root.context_settings)
    context = command.context_class(command, info_name=path[-1], parent=program)
    given, _, order = command.make_parser(context).parse_args(list(rest))
    if "help" not in given:
        command.make_context(path[-1], list(rest), parent=program)
    arguments = [given.get(p.name) for p in command.params if p.param_type_name == "argument"]
    return CommandLine(
        command=path,
        options=tuple(_options(given, [p for p in order if p.param_type_name == "option"])),
        arguments=tuple(word for a in arguments if a is not None for word in ([a] if isinstance(a, str) else a)),
        takes=frozenset(n for p in command.params if p.param_type_name == "option" for n in _names(p)),
    )


def _options(given: dict[str, Any], order: Sequence[Any]) -> Iterator[Option]:
    """The options in order; of one that is not repeatable and stands there twice, the last."""
    repeated = {p.name: iter(given[p.name]) for p in order if p.multiple}
    last = {p.name: at for at, p in enumerate(order)}
    for at, parameter in enumerate(order):
        if parameter.multiple:
            value = next(repeated[parameter.name])
        elif at != last[parameter.name]:
            continue
        else:
            value = given[parameter.name]
        spelled = parameter.secondary_opts if parameter.is_flag and not value else parameter.opts
        yield Option(
            name=spelled[0],
            value=None if parameter.is_flag else value,
            names=_names(parameter),
            role=ROLES.get(parameter.name),
        )


def _names(parameter: Any) -> frozenset[str]:
    return frozenset((*parameter.opts, *parameter.secondary_opts))
