"""The options that every working command has, declared once.

A command is written as `def train(options: Options, loss: ... = None)`; `with_options` gives it the shared ones.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from irctl import paths, plugins, shipped_files
from irctl.command_line import Role
from irctl.commands.frame import absolute


def complete(package: str) -> Callable[[str], list[str]]:
    """Completion over the plug-in files of a package; nothing heavy is imported."""

    def names(incomplete: str) -> list[str]:
        return [n for n in plugins.names(package) if n.startswith(incomplete)]

    return names


def complete_files(kind: str) -> Callable[[str], list[str]]:
    """Completion over shipped TOML files: recipes, profiles."""

    def names(incomplete: str) -> list[str]:
        return [n for n in shipped_files.names(kind) if n.startswith(incomplete)]

    return names


def complete_runs(incomplete: str) -> list[str]:
    """Completion over run folders, newest first."""
    folders = sorted((p.name for p in paths.runs().glob(f"{incomplete}*") if (p / "run.json").is_file()), reverse=True)
    return [*folders[:50], *(["latest"] if "latest".startswith(incomplete) else [])]


def finite(value: float) -> float:
    """A number of an option, refused where it is infinite or none at all."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"expected a finite number, found {value}")
    return value


SHARED = "Every command"


def _option(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=SHARED, **more)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every working command takes. Field order is the order in --help."""

    profile: Annotated[
        str, _option("--profile", help="hardware profile", autocompletion=complete_files("profiles"))
    ] = "cpu"
    recipe: Annotated[
        str, _option("--recipe", help="shipped recipe or TOML file", autocompletion=complete_files("recipes"))
    ] = ""
    tiny: Annotated[bool, _option("--tiny", help="the recipe's small overlay: a minute on a CPU")] = False
    config: Annotated[str, _option("--config", help="TOML file, or config.json of a run to repeat exactly")] = ""
    set_: Annotated[
        list[str], _option("--set", help="section.key=value, repeatable; irctl settings lists the keys")
    ] = field(default_factory=list)
    runner: Annotated[str, _option("--runner", help="local, slurm, or ray (encode, compress)"), Role.START] = "local"
    devices: Annotated[str, _option("--devices", help="device numbers such as 0,1 or 0-3"), Role.START] = ""
    resume: Annotated[
        str,
        _option("--resume", help="continue this run (id, folder, latest); none: new", autocompletion=complete_runs),
        Role.START,
    ] = ""
    seed: Annotated[int | None, _option("--seed", help="seed of every random draw")] = None
    hash_: Annotated[
        str | None,
        _option("--hash", help="of files above 1 GB: fast, full or none (none: stored files are not checked)"),
    ] = None
    show: Annotated[
        bool, _option("--show", help="print every setting with its value and origin, and stop"), Role.START
    ] = False
    dry_run: Annotated[bool, _option("--dry-run", help="print what would run, and stop"), Role.START] = False
    json_: Annotated[bool, _option("--json", help="one JSON object on stdout"), Role.DISPLAY] = False
    quiet: Annotated[bool, _option("--quiet", "-q", help="ids only; no progress"), Role.DISPLAY] = False
    verbose: Annotated[
        bool,
        _option("--verbose", "-v", help="also the run folder and the settings that are not defaults, on stderr"),
        Role.DISPLAY,
    ] = False
    no_color: Annotated[bool, _option("--no-color", help="plain text"), Role.DISPLAY] = False
    debug: Annotated[bool, _option("--debug", help="tracebacks on stderr"), Role.DISPLAY] = False
    argv: Annotated[tuple[str, ...], "no option: the command line as typed, for the ledger"] = ()
    root: Annotated[Any, "no option: the command of the whole program, by which lines are read"] = None


_FIELDS = inspect.signature(Options, eval_str=True).parameters
_DECLARED = [p for p in _FIELDS.values() if p.name not in ("argv", "root")]
ROLES = {
    p.name: next((part for part in p.annotation.__metadata__ if isinstance(part, Role)), Role.SETTINGS)
    for p in _DECLARED
}
"""Options that are no settings of the work, by parameter."""


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Append the shared options to a command whose first parameter is `options: Options`.

    A parameter of the command with the name of a shared one stands in its place.
    """
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    names = {p.name for p in own}
    shared = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY, default=[] if p.name == "set_" else p.default) for p in _DECLARED
    ]

    @functools.wraps(command)
    def wrapper(*args: Any, context: typer.Context, **given: Any) -> None:
        import sys

        shared_values = {p.name: given[p.name] if p.name in names else given.pop(p.name) for p in shared}
        root = context.find_root().command
        given = absolute.of_values(context, given)
        command(Options(**shared_values, argv=("irctl", *sys.argv[1:]), root=root), *args, **given)

    first = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    parameters = [first, *own, *(p for p in shared if p.name not in names)]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    del wrapper.__wrapped__  # else inspect would show the inner signature
    return wrapper


Shown = Annotated[bool, _option("--quiet", "-q", help="nothing but results and errors")]
Told = Annotated[bool, _option("--verbose", "-v", help="also where runs, ledger and cache are, on stderr")]
Plain = Annotated[bool, _option("--no-color", help="plain text")]


def with_display(command: Callable[..., None]) -> Callable[..., None]:
    """Append those of --quiet, --verbose and --no-color that a command has not itself."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())
    kinds = {"quiet": Shown, "verbose": Told, "no_color": Plain}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in kinds.items()
        if name not in {p.name for p in own}
    ]
    if not added:
        return command

    @functools.wraps(command)
    def wrapper(*args: Any, **given: Any) -> None:
        from irctl import console

        asked = {p.name: given.pop(p.name) for p in added}
        with console.display(quiet=asked.get("quiet", False), no_color=asked.get("no_color", False)):
            if asked.get("verbose"):
                console.err(f"runs {paths.runs()}  ledger {paths.ledger()}  cache {paths.cache()}")
            command(*args, **given)

    parameters = [*own, *added]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    del wrapper.__wrapped__  # else inspect would show the inner signature
    return wrapper


Json = Annotated[bool, typer.Option("--json", help="one JSON object on stdout")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="ids only")]
Debug = Annotated[bool, typer.Option("--debug", help="tracebacks on stderr")]
