"""`irctl help`: the page of a command, as its --help prints it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from irctl.commands.frame.guard import guarded
from irctl.commands.frame.options import Debug, Json


def show_help(
    context: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="such as train or runs show; default: all commands")
    ] = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Print the page of a command, as COMMAND --help does.

    \b
    Examples:
      irctl help
      irctl help train
      irctl help runs show
    """
    from irctl import console

    with guarded(json_, debug):
        text = page(context.find_root(), words or [])
        if json_:
            console.emit_json({"schema": "irctl/help/1", "command": " ".join(words or []), "text": text})
        else:
            console.out(text)


def page(program: Any, words: list[str]) -> str:
    """The page of the command that these words name. Raises ConfigError for one that there is not."""
    from irctl.errors import ConfigError
    from irctl.plugins import nearest

    context, command = program, program.command
    for word in words:
        inner = getattr(command, "commands", {})
        if word not in inner:
            said = context.command_path.split(maxsplit=1)[1:]
            raise ConfigError(
                f"irctl {' '.join([*said, word])}: no such command",
                hint=nearest(word, list(inner)) if inner else f"irctl help {' '.join(said)}",
            )
        command = inner[word]
        context = command.context_class(command, info_name=word, parent=context, **command.context_settings)
    text: str = command.get_help(context)
    return text
