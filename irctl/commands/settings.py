"""`irctl settings`: every setting with its default, its legal values and its meaning; --json: as JSON Schema."""

from __future__ import annotations

from typing import Annotated

import typer

from irctl.commands.frame.guard import guarded
from irctl.commands.frame.options import Debug, Json, Quiet


def _complete(incomplete: str) -> list[str]:
    from irctl import config

    return [key for key in config.known_keys() if key.startswith(incomplete)]


def show_settings(
    key: Annotated[
        str,
        typer.Argument(
            help="a setting such as train.lr, or a section such as pq; default: all", autocompletion=_complete
        ),
    ] = "",
    json_: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List settings with defaults, legal values and meanings, those of methods, losses and codes too; or explain one.

    --json prints the schema of all settings as JSON Schema (draft 2020-12), which editors check recipes by; of one
    setting its part. --quiet prints keys. A setting is set by --set KEY=VALUE, or in a recipe's table of its section.

    \b
    Examples:
      irctl settings
      irctl settings train.lr
      irctl settings pq
      irctl settings --json
    """
    from irctl import console

    with guarded(json_, debug):
        from irctl import config, origins
        from irctl.commands import settings_schema
        from irctl.settings import PROMPTS

        if key and key.startswith(PROMPTS) and key.count(".") == 2:
            key = f"{PROMPTS}DATASET.{key.rpartition('.')[2]}"
        key = key.removesuffix(".")  # a section, as errors write it
        schema = settings_schema.make_schema()
        found = {k: p for k, p in settings_schema.list_settings(schema) if key in ("", k) or k.startswith(f"{key}.")}
        if not found:
            config.schema(key, origins.derived("irctl settings"))  # raises, with the nearest
        if json_ and not key:
            console.emit_json({"schema": "irctl/settings/1", **schema})
        elif json_:
            console.emit_json({"schema": "irctl/settings-of/1", "settings": found})
        elif quiet:
            for name in found:
                console.out(name)
        elif key in found:
            part = found[key]
            default = settings_schema.show_value(part.get("default"))
            console.out(f"{key}: {part['description'] or 'no description'}")
            console.out(f"  default: {default}\n  values: {settings_schema.describe_values(part)}")
            console.out(f"  set it by --set {key}=VALUE")
        else:
            rows = [
                {
                    "key": name,
                    "default": settings_schema.show_value(part.get("default")),
                    "values": settings_schema.describe_values(part),
                    "meaning": part["description"],
                }
                for name, part in found.items()
            ]
            console.table(rows)
