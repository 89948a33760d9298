"""The run folder and ledger row around a command's work."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.commands.frame.guard import system_errors
from irctl.commands.frame.options import Options
from irctl.commands.frame.output import changed_settings
from irctl.commands.frame.resume import resumable
from irctl.data.collections.dataset_name import dataset_name

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.console import ConsoleReporter
    from irctl.ledger.recording import RunHandle


BY_DEFAULT = ("train", "arms", "encode")
"""Commands that read the built-in collection and model where none is named; others begin with what the user named."""


@dataclass(frozen=True)
class Job:
    """What a command's work gets."""

    config: Config
    run: RunHandle
    reporter: ConsoleReporter
    options: Options


def record_run(
    command: str,
    options: Options,
    config: Config,
    reporter: ConsoleReporter,
    work: Callable[[Job], dict[str, Any]],
    check_resume: Callable[[Path], None] | None,
) -> dict[str, Any]:
    """Do the work inside a run folder with a ledger row. An unfinished run of the same command line is continued."""
    from irctl import stopping

    folder = resumable(command, options, config.sha256(), check_resume)
    run = begin(command, options, config, runner=options.runner, resume=folder)
    reporter.log, reporter.scrub = run.paths.log, run.scrub
    if folder:
        reporter.say(f"continuing {run.id}")
    if options.verbose:
        reporter.say(f"run folder {run.paths.folder}")
        for line in changed_settings(config, command):
            reporter.say(run.scrub(line))
    stopping.install()
    try:
        with run, system_errors():
            payload = work(Job(config, run, reporter, options))
            stopping.check()
    finally:
        stopping.restore()
    return {"run": run.id, "run_dir": str(run.paths.folder), "of_model": run.model, **payload}


def begin(command: str, options: Options, config: Config, **more: Any) -> RunHandle:
    """The run folder and ledger row of a command line. more: what else start_run takes (runner, resume, columns)."""
    from irctl.ledger.recording import start_run

    source = config.data.source if _is_used(command, "data.source", config.origins) else ""
    return start_run(
        command=command,
        argv=list(options.argv),
        config=config,
        method=config.train.method if command == "train" else "",
        dataset=dataset_name(config.run.dataset, source),
        model=config.model.name if _is_used(command, "model.name", config.origins) else "",
        profile=options.profile,
        world_size=config.hardware.devices,
        seed=config.run.seed,
        name=config.run.name,
        **more,
    )


def _is_used(command: str, key: str, chosen: Container[str]) -> bool:
    """Whether a value is what the run works on, before its work can say so: a default often gives way to an index."""
    return command in BY_DEFAULT or key in chosen
