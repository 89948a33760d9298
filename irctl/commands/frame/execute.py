"""How every working command runs: layers of settings, --show, --dry-run, run folder, errors to exit codes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import errors, hashing
from irctl.commands.frame import next_step
from irctl.commands.frame.guard import guarded
from irctl.commands.frame.options import Options
from irctl.commands.frame.output import dry_run, present, show_settings
from irctl.commands.frame.reading import reader
from irctl.commands.frame.record import Job, record_run
from irctl.commands.frame.resume import find_named_run
from irctl.commands.frame.settings import device_numbers, settings
from irctl.plugins import near

if TYPE_CHECKING:
    from irctl.config import Config

RUNNERS = ("local", "slurm")
SHARED = ("encode", "compress")
"""Commands whose work Ray can share out."""
ON_DEVICES = ("train", "arms", "encode", "hardneg", "eval")
"""Commands that leave a GPU idle only by mistake."""


def execute(
    command: str,
    options: Options,
    *,
    named: Mapping[str, Any],
    names: Mapping[str, str],
    work: Callable[[Job], dict[str, Any]],
    describe: Callable[[Config], dict[str, Any]] | None = None,
    check: Callable[[Config], object] | None = None,
    check_resume: Callable[[Path], None] | None = None,
) -> None:
    """Run a working command from its options to its output and exit code.

    named: configuration values by key, None where the option was not given. names: option names by key.
    work returns the --json payload; its "table" (rows), "lines" and "ids" are what people see.
    describe returns what --dry-run prints beside the configuration. check refuses what options and settings alone show
    to be wrong, before there is a run or a job: what never began did not fail. check_resume refuses a folder named by
    --resume.
    """
    from irctl import console
    from irctl.console import ConsoleReporter
    from irctl.ledger import stored

    reporter = ConsoleReporter(quiet=options.quiet, no_color=options.no_color)
    with guarded(options.json_, options.debug, lambda: reporter.log, lambda text: reporter.scrub(text)):
        config = settings(options, named, names)
        hashing.use(config.run.hash)
        stored.read_lines_with(reader(options.root))
        if options.show:
            return show_settings(config, options)
        if check:
            check(config)
        runners = (*RUNNERS, "ray") if command in SHARED else RUNNERS
        if options.runner not in runners:
            raise errors.ConfigError(
                f"--runner {options.runner}: irctl {command} has {', '.join(runners)}",
                hint=near(options.runner, runners),
            )
        if options.runner == "slurm":
            from irctl.commands.frame.slurm import submit

            return submit(command, options, config, describe)
        if options.dry_run:
            if options.resume not in ("", "none"):
                find_named_run(command, options, check_resume)
            return dry_run(command, options, config, describe)
        if command in ON_DEVICES:
            from irctl import slurm

            slurm.check_devices(config)
        # the arms of a group get one device each
        if options.devices and config.hardware.device_kind == "cuda" and command != "arms":
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, device_numbers(options.devices)))
        payload = record_run(command, options, config, reporter, work, check_resume)
        present(command, options, payload)
        if not (options.json_ or options.quiet) and (line := next_step.after(command, payload)):
            console.out(f"next: {line}")
        if left_out := payload.get("left_out"):
            first = next(iter(left_out.items()))
            raise errors.PartlyDone(f"{len(left_out)} left out, such as {first[0]}: {first[1]}")
