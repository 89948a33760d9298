"""How every working command runs: layers of settings, --show, --dry-run, run folder, errors to exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from irctl import errors
from irctl.commands._options import Options

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.console import ConsoleReporter
    from irctl.ledger.recording import RunHandle

RUNNERS = ("local", "slurm")
SHARED = ("encode", "compress")
"""Commands whose work Ray can share out."""
DISPLAY = {"--json", "--quiet", "-q", "--verbose", "-v", "--no-color", "--debug"}
"""Options that change what is printed, not what is done."""


@dataclass(frozen=True)
class Job:
    """What a command's work gets."""

    config: Config
    run: RunHandle
    reporter: ConsoleReporter
    options: Options
    must_continue: bool = False
    """--resume named a run outside a Slurm job: what it has done so far must be there."""


@contextmanager
def guarded(
    json_: bool = False,
    debug: bool = False,
    log: Callable[[], Path | None] = lambda: None,
    scrub: Callable[[str], str] = str,
) -> Iterator[None]:
    """Turn an error into its one line (or its JSON object) and exit code; tracebacks go to the run's log, scrubbed."""
    from irctl import console

    try:
        yield
    except errors.IrctlError as e:
        _keep_traceback(debug, log(), scrub)
        if json_:
            console.emit_json(
                {
                    "schema": "irctl/error/1",
                    "kind": e.kind,
                    "message": e.message,
                    "hint": e.hint,
                    "exit_code": e.exit_code,
                }
            )
        console.err(f"error: {e}")
        if e.exit_code == errors.PREEMPTED:
            from irctl import slurm

            slurm.requeue()
        raise typer.Exit(e.exit_code) from None
    except KeyboardInterrupt:
        console.err("error: interrupted; the same command continues")
        raise typer.Exit(errors.SIGINT) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone: `| head`
        raise typer.Exit(errors.OK) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as e:  # noqa: BLE001  the last resort: a fault of ours still ends in one line and a code
        where = log()
        _keep_traceback(debug, where, scrub)
        at = traceback.extract_tb(e.__traceback__)[-1]
        message = (
            f"internal error: {type(e).__name__}: {' '.join(str(e).split())} ({Path(at.filename).name}:{at.lineno})"
        )
        hint = f"Traceback in {where}" if where else "Run again with --debug for the traceback"
        if json_:
            payload = {
                "schema": "irctl/error/1",
                "kind": "InternalError",
                "message": message,
                "hint": hint,
                "exit_code": 1,
            }
            console.emit_json(payload)
        console.err(f"error: {message}. {hint}")
        raise typer.Exit(errors.RUN_FAILED) from None


def _keep_traceback(debug: bool, log: Path | None, scrub: Callable[[str], str]) -> None:
    text = scrub(traceback.format_exc())
    if log is not None and log.parent.is_dir():
        with log.open("a") as f:
            f.write(text)
    if debug:
        sys.stderr.write(text)


def settings(options: Options, named: Mapping[str, Any], names: Mapping[str, str]) -> Config:
    """The resolved configuration of a command: default < method < profile < recipe < --config < option < --set."""
    from irctl import config, profiles, recipes_index

    layers: list[config.Layer] = []
    if options.recipe:
        layers.append(recipes_index.layer(options.recipe, tiny=options.tiny))
    elif options.tiny:
        raise errors.ConfigError(
            "--tiny: is an overlay of a recipe", hint="Add --recipe NAME; irctl recipes ls lists them"
        )
    if options.config:
        layers.append(config.from_file(Path(options.config)))
    layers.append(config.from_options({**named, "run.seed": options.seed}, {**names, "run.seed": "--seed"}))
    layers.append(config.from_sets(options.set_))
    method = config.resolve(*layers).train.method
    hardware = dict(profiles.layer(options.profile, method))
    if options.devices:
        hardware["hardware.devices"] = (len(device_numbers(options.devices)), "option --devices")
    return config.resolve(hardware, *layers)


def device_numbers(text: str) -> list[int]:
    """[0, 1, 2] of '0-2' or '0,1,2'; source 002's 'localhost:0,1' is read too."""
    numbers: list[int] = []
    try:
        for part in text.removeprefix("localhost:").split(","):
            first, dash, last = part.partition("-")
            numbers += range(int(first), int(last) + 1) if dash else [int(first)]
    except ValueError:
        raise errors.ConfigError(f"--devices {text}: expected numbers such as 0,1 or 0-3") from None
    if not numbers or len(set(numbers)) != len(numbers):
        raise errors.ConfigError(f"--devices {text}: expected each device once, such as 0,1 or 0-3")
    return numbers


def execute(
    command: str,
    options: Options,
    *,
    named: Mapping[str, Any],
    names: Mapping[str, str],
    work: Callable[[Job], dict[str, Any]],
    describe: Callable[[Config], dict[str, Any]] | None = None,
) -> None:
    """Run a working command from its options to its output and exit code.

    named: configuration values by key, None where the option was not given. names: option names by key.
    work returns the --json payload; its "table" (rows), "lines" and "ids" are what people see.
    describe returns what --dry-run prints beside the configuration.
    """
    from irctl.console import ConsoleReporter

    reporter = ConsoleReporter(quiet=options.quiet, no_color=options.no_color)
    with guarded(options.json_, options.debug, lambda: reporter.log, lambda text: reporter.scrub(text)):
        config = settings(options, named, names)
        if options.show:
            return show_settings(config, options)
        runners = (*RUNNERS, "ray") if command in SHARED else RUNNERS
        if options.runner not in runners:
            raise errors.ConfigError(f"--runner {options.runner}: irctl {command} has {', '.join(runners)}")
        if options.runner == "slurm":
            from irctl.commands._slurm import submit

            return submit(command, options, config, describe)
        if options.dry_run:
            return dry_run(command, options, config, describe)
        # the arms of a group get one device each
        if options.devices and config.hardware.device_kind == "cuda" and command != "arms":
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, device_numbers(options.devices)))
        payload = recorded(command, options, config, reporter, work)
        present(command, options, payload)
        if left_out := payload.get("left_out"):
            first = next(iter(left_out.items()))
            raise errors.PartlyDone(f"{len(left_out)} left out, such as {first[0]}: {first[1]}")


def recorded(
    command: str,
    options: Options,
    config: Config,
    reporter: ConsoleReporter,
    work: Callable[[Job], dict[str, Any]],
) -> dict[str, Any]:
    """Do the work inside a run folder with a ledger row. An unfinished run of the same command line is continued."""
    from irctl import slurm, stopping
    from irctl.ledger.recording import start_run

    folder = resumable(command, options, config)
    run = start_run(
        command=command,
        argv=list(options.argv),
        config=config,
        method=config.train.method if command == "train" else "",
        dataset=config.run.dataset or config.data.source,
        model=config.model.name,
        profile=options.profile,
        runner=options.runner,
        world_size=config.hardware.devices,
        seed=config.run.seed,
        name=config.run.name,
        resume=folder,
        **slurm.job(),
    )
    reporter.log, reporter.scrub = run.paths.log, run.scrub
    if folder:
        reporter.say(f"continuing {run.id}")
    stopping.install()
    try:
        with run:
            # a Slurm job names its run before it has begun, and may be preempted before the first checkpoint
            payload = work(Job(config, run, reporter, options, bool(options.resume) and not slurm.job()))
            stopping.check()
    finally:
        stopping.restore()
    return {"run": run.id, "run_dir": str(run.paths.folder), **payload}


def resumable(command: str, options: Options, config: Config) -> Path | None:
    """Folder of the run to continue: the one named by --resume, else the newest unfinished one of this command line."""
    from irctl import slurm
    from irctl.ledger import query, reap

    reap.reap()
    if options.resume:
        record = query.find_run(options.resume)
        if record.columns.get("command") != command:
            raise errors.ConfigError(
                f"--resume {options.resume}: is a run of '{record.columns.get('command')}', not of '{command}'"
            )
        return Path(record.folder)
    for record in query.list_runs(command=command):
        stored = record.columns
        same = stored.get("config_sha256") == config.sha256() and _bare(stored.get("argv_json")) == _bare(options.argv)
        # tasks of one array share their command line; each continues its own run
        same = same and stored.get("slurm_array_task_id") == slurm.job().get("slurm_array_task_id")
        if same and stored.get("status") == "completed":
            return None
        if same and stored.get("status") in ("killed", "preempted", "interrupted", "lost", "failed"):
            return Path(record.folder)
    return None


def _bare(argv: Any) -> list[str]:
    import json

    words = json.loads(argv) if isinstance(argv, str) else list(argv or ())
    return [w for w in words[1:] if w not in DISPLAY]


def present(command: str, options: Options, payload: dict[str, Any]) -> None:
    """Print a payload as --json, --quiet or a person wants it."""
    from irctl import console

    shown = dict(payload)
    rows, lines, ids = shown.pop("table", None), shown.pop("lines", None), shown.pop("ids", None)
    if options.json_:
        console.emit_json({"schema": f"irctl/{command}/1", **shown})
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


def show_settings(config: Config, options: Options) -> None:
    """--show: every key, its value and where it came from."""
    from irctl import console

    values = config.to_json()
    if options.json_:
        console.emit_json({"schema": "irctl/show/1", "config": values, "sha256": config.sha256()})
        return
    rows = [
        {"key": k, "value": "''" if v["value"] == "" else str(v["value"]), "origin": v["origin"]}
        for k, v in values.items()
    ]
    console.table(rows, no_color=options.no_color)


def dry_run(
    command: str, options: Options, config: Config, describe: Callable[[Config], dict[str, Any]] | None
) -> None:
    """--dry-run: the settings that are not defaults, and what the command would do."""
    from irctl import console

    plan = describe(config) if describe else {}
    changed = {k: v for k, v in config.to_json().items() if v["origin"] != "default"}
    if options.json_:
        console.emit_json({"schema": f"irctl/{command}/1", "dry_run": True, "config": config.to_json(), "plan": plan})
        return
    console.out("settings (others are defaults; --show prints all)")
    for name, v in changed.items():
        console.out(f"  {name} = {v['value']!r}  ({v['origin']})")
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
