"""`irctl profiles`: the hardware profiles."""

from __future__ import annotations

from typing import Annotated

import typer

from irctl.commands.frame.guard import guarded
from irctl.commands.frame.options import Debug, Json, Quiet, complete_files
from irctl.commands.frame.output import present_rows

app = typer.Typer(help="Hardware profiles: facts about machines, never about the science.", no_args_is_help=True)


@app.command("ls")
def ls(json_: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """List the profiles.

    \b
    Examples:
      irctl profiles ls
    """
    from irctl import profiles, shipped_files

    with guarded(json_, debug):
        rows = []
        for name in shipped_files.names("profiles"):
            table = profiles.read(name)
            hardware = table["hardware"]
            rows.append(
                {
                    "name": name,
                    "title": table["meta"]["title"],
                    "devices": hardware["devices"],
                    "kind": hardware["device_kind"],
                    "precision": hardware["precision"],
                }
            )
        present_rows("profiles", rows, json_=json_, quiet=quiet)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="profile", autocompletion=complete_files("profiles"))],
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Print a profile.

    \b
    Examples:
      irctl profiles show v100x8
    """
    from irctl import console, profiles, shipped_files

    with guarded(json_, debug):
        table = profiles.read(name)
        if json_:
            console.emit_json({"schema": "irctl/profiles-show/1", "name": name, **table})
        else:
            console.out(shipped_files.path("profiles", name).read_text().rstrip())
