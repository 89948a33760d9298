"""Starting a group of runs: one ledger run around child command lines, whoever asks for it."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import typer

from irctl import hashing
from irctl.command_line import CommandLine
from irctl.commands.frame.execute import execute
from irctl.commands.frame.options import Options
from irctl.commands.frame.reading import reader
from irctl.commands.frame.record import Job
from irctl.commands.frame.settings import device_numbers
from irctl.errors import ConfigError

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord
    from irctl.pipelines.arms.asked import Asked
    from irctl.pipelines.arms.chains import Chain


def run_group(options: Options, *, named: Mapping[str, object], names: Mapping[str, str], seeds: str) -> None:
    """Run the arms of a recipe, or one recipe with several seeds."""
    from irctl.pipelines.arms import arms

    def work(job: Job) -> dict[str, object]:
        return arms.run_group(job.config, job.run, job.reporter, _read_asked(options, seeds))

    def describe(config: object) -> dict[str, object]:
        return arms.describe(config, _read_asked(options, seeds))  # type: ignore[arg-type]

    execute("arms", options, named=named, names=names, work=work, describe=describe)


def evaluate_arms(options: Options, group: RunRecord, *, named: Mapping[str, object], names: Mapping[str, str]) -> None:
    """Evaluate every arm of a group with the options of this line."""
    from irctl.pipelines.arms import every_arm

    def planned() -> tuple[list[Chain], dict[str, str]]:
        read = reader(options.root)
        return every_arm.plan(group, read(options.argv), read)

    def work(job: Job) -> dict[str, object]:
        chains, left_out = planned()
        for name, why in left_out.items():
            job.reporter.say(f"left out: {name}: {why}")
        devices = device_numbers(options.devices) if options.devices else ()
        is_cuda = job.config.hardware.device_kind == "cuda"
        return every_arm.run(group, chains, job.run, job.reporter, devices, is_cuda)

    def describe(config: object) -> dict[str, object]:
        chains, left_out = planned()
        lines = [f"irctl {shlex.join(words)}" for c in chains for words in c.lines]
        return {"group": group.id, "lines": lines, **({"left out": left_out} if left_out else {})}

    execute(
        "arms",
        options,
        named={k: v for k, v in named.items() if k != "model.name"},
        names=names,
        work=work,
        describe=describe,
    )


def _read_asked(options: Options, seeds: str) -> Asked:
    from irctl.pipelines.arms.asked import Asked

    read = reader(options.root)
    return Asked(
        recipe=options.recipe,
        tiny=options.tiny,
        seeds=seeds,
        devices=tuple(device_numbers(options.devices)) if options.devices else (),
        line=read(options.argv),
        read=read,
        check=settings_check(options.root),
    )


def settings_check(root: Any) -> Callable[[CommandLine], None]:
    """What raises the ConfigError of a line's settings, by its own --show, if its command has settings."""

    def check(line: CommandLine) -> None:
        if "--show" not in line.takes:
            return
        words = line.with_option("--show").with_option("--json").words
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()), hashing.like(""):
            code = root.main(args=list(words), prog_name="irctl", standalone_mode=False)
        if code:
            payload = json.loads(printed.getvalue().splitlines()[-1])
            raise ConfigError(f"{line}: {payload['message']}", hint=payload["hint"])

    return check


def run_alone(options: Options) -> None:
    """Run the one command that a recipe without arms names, in this process, as if it had been typed."""
    from irctl import console, recipes_index

    read = reader(options.root)
    line = recipes_index.command(options.recipe, read)
    asked = read(options.argv).without("--seeds")
    for option in asked.options:
        if option.name not in line.takes:
            raise ConfigError(f"{option.name}: irctl {line.name} has no such option", hint=f"Type it: {line}")
        if option.name == "--set":
            line = line.with_option("--set", *line.values("--set"), option.value or "")
        else:
            line = line.with_option(option.name, *(() if option.value is None else (option.value,)))
    if not options.quiet:
        console.err(f"$ {line}")
    sys.argv = ["irctl", *line.words]  # what the ledger records
    if code := options.root.main(args=list(line.words), prog_name="irctl", standalone_mode=False):
        raise typer.Exit(code)


def check_arms(root: Any, recipe: str) -> list[str]:
    """What is wrong with the command lines of a group recipe, with and without [tiny]: the first error of each."""
    from irctl import config, recipes_index
    from irctl.pipelines.arms.asked import Asked
    from irctl.pipelines.arms.steps import plan

    if not recipes_index.arms(recipe):
        return []
    read, wrong = reader(root), []
    for tiny in (False, True) if recipes_index.has_tiny(recipe) else (False,):
        asked = Asked(
            recipe=recipe, tiny=tiny, line=read(("recipes", "run", recipe)), read=read, check=settings_check(root)
        )
        try:
            plan(config.resolve(recipes_index.layer(recipe, tiny=tiny)), asked, is_check=True)
        except ConfigError as e:
            wrong.append(str(e))
    return list(dict.fromkeys(wrong))
