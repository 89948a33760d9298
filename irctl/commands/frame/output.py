"""What a command prints of its work: a payload, its settings, a dry run, the rows of a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from irctl.commands.frame.options import Options

if TYPE_CHECKING:
    from irctl.config import Config


def present(command: str, options: Options, payload: dict[str, Any]) -> None:
    """Print a payload as --json, --quiet or a person wants it."""
    from irctl import console

    shown = dict(payload)
    rows, lines, ids = shown.pop("table", None), shown.pop("lines", None), shown.pop("ids", None)
    model, schema = shown.pop("of_model", ""), shown.pop("schema", f"irctl/{command}/1")
    if options.json_:
        console.emit_json({"schema": schema, **shown})
    elif options.quiet:
        for one in ids if ids is not None else [payload.get("run", "")]:
            console.out(str(one))
    else:
        if rows:
            console.table(rows, no_color=options.no_color)
        for line in lines or ():
            console.out(line)
        if not rows and not lines:
            for name, value in shown.items():
                if not isinstance(value, (dict, list)):
                    console.out(f"{name}: {value}")
        elif "run" in payload:
            console.out(f"run: {payload['run']}{f', model {model}' if model else ''}")


def show_settings(config: Config, options: Options) -> None:
    """--show: every key, its value and where it came from."""
    from irctl import console

    values = config.shown()
    if options.json_:
        console.emit_json({"schema": "irctl/show/1", "config": values, "sha256": config.sha256()})
        return
    rows = [
        {"key": k, "value": "''" if v["value"] == "" else str(v["value"]), "origin": v["origin"]}
        for k, v in values.items()
    ]
    console.table(rows, no_color=options.no_color)


def changed_settings(config: Config, command: str) -> list[str]:
    """Every setting that concerns the command and is not a default, with its origin."""
    from irctl.pipelines.lineage import run_settings

    origins = {k: str(config.origin(k)) for k in config.flat() if k in config.origins}
    values = config.flat()
    return [f"{k} = {values[k]!r}  ({o})" for k, o in origins.items() if run_settings.concerns(command, k, o)]


def dry_run(
    command: str, options: Options, config: Config, describe: Callable[[Config], dict[str, Any]] | None
) -> None:
    """--dry-run: the settings that are not defaults, and what the command would do. A plan says its own `settings`."""
    from irctl import console
    from irctl.data.files import hub

    try:
        with hub.offline():
            plan = describe(config) if describe else {}
    except hub.NotFetched as e:
        plan = {"not on this machine": e.message}
    if options.json_:
        console.emit_json(
            {"schema": "irctl/dry-run/1", "command": command, "dry_run": True, "config": config.to_json(), "plan": plan}
        )
        return
    console.out("settings that are not defaults (--show prints all)")
    for line in plan.pop("settings", None) or changed_settings(config, command):
        console.out(f"  {line}")
    _outline(plan, console.out)


def _outline(plan: Mapping[str, Any], out: Callable[[str], None]) -> None:
    for title, part in plan.items():
        if isinstance(part, Mapping):
            out(f"{title}")
            for name, value in part.items():
                out(f"  {name}: {value}")
        elif isinstance(part, list):
            out(f"{title}")
            for value in part:
                out(f"  {value}")
        elif isinstance(part, str) and "\n" in part:
            out(f"{title}")
            for line in part.splitlines():
                out(f"  {line}")
        else:
            out(f"{title}: {part}")


def present_rows(command: str, rows: list[dict[str, Any]], *, json_: bool, quiet: bool, key: str = "name") -> None:
    """Rows of an `ls` command: --json, --quiet (one key a line) or a table."""
    from irctl import console

    if json_:
        console.emit_json({"schema": f"irctl/{command}/1", command: rows})
    elif quiet:
        for row in rows:
            console.out(str(row[key]))
    else:
        console.table(rows)
