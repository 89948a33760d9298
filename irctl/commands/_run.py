"""How every working command runs: layers of settings, --show, --dry-run, run folder, errors to exit codes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import errors, hashing, slurm
from irctl.commands._guard import guarded, system_errors
from irctl.commands._options import Options
from irctl.plugins import nearest
from irctl.settings import MOST_DEVICES

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.console import ConsoleReporter
    from irctl.ledger.recording import RunHandle

RUNNERS = ("local", "slurm")
SHARED = ("encode", "compress")
"""Commands whose work Ray can share out."""
ON_DEVICES = ("train", "arms", "encode", "hardneg", "eval")
"""Commands that leave a GPU idle only by mistake."""
BY_DEFAULT = ("train", "arms", "encode")
"""Commands that read the built-in collection and model where none is named; others begin with what the user named."""
UNFINISHED = ("killed", "preempted", "interrupted", "lost", "failed")
"""Statuses of a run that the same command continues."""
DISPLAY = {"--json", "--quiet", "-q", "--verbose", "-v", "--no-color", "--debug"}
"""Options that change what is printed, not what is done."""


@dataclass(frozen=True)
class Job:
    """What a command's work gets."""

    config: Config
    run: RunHandle
    reporter: ConsoleReporter
    options: Options


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
    shared = {"run.seed": options.seed, "run.hash": options.hash_}
    layers.append(config.from_options({**named, **shared}, {**names, "run.seed": "--seed", "run.hash": "--hash"}))
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
            wanted = range(int(first), int(last if dash else first) + 1)
            if wanted.stop > MOST_DEVICES:
                raise errors.ConfigError(f"--devices {text[:80]}: expected numbers below {MOST_DEVICES}")
            numbers += wanted
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
    check_resume: Callable[[Path], None] | None = None,
) -> None:
    """Run a working command from its options to its output and exit code.

    named: configuration values by key, None where the option was not given. names: option names by key.
    work returns the --json payload; its "table" (rows), "lines" and "ids" are what people see.
    describe returns what --dry-run prints beside the configuration. check_resume refuses a folder named by --resume.
    """
    from irctl.console import ConsoleReporter

    reporter = ConsoleReporter(quiet=options.quiet, no_color=options.no_color)
    with guarded(options.json_, options.debug, lambda: reporter.log, lambda text: reporter.scrub(text)):
        config = settings(options, named, names)
        hashing.use(config.run.hash)
        if options.show:
            return show_settings(config, options)
        runners = (*RUNNERS, "ray") if command in SHARED else RUNNERS
        if options.runner not in runners:
            raise errors.ConfigError(
                f"--runner {options.runner}: irctl {command} has {', '.join(runners)}",
                hint=nearest(options.runner, runners),
            )
        if options.runner == "slurm":
            from irctl.commands._slurm import submit

            return submit(command, options, config, describe)
        if options.dry_run:
            if options.resume not in ("", "none"):
                named_run(command, options, check_resume)
            return dry_run(command, options, config, describe)
        if command in ON_DEVICES:
            slurm.check_devices(config)
        # the arms of a group get one device each
        if options.devices and config.hardware.device_kind == "cuda" and command != "arms":
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, device_numbers(options.devices)))
        payload = recorded(command, options, config, reporter, work, check_resume)
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
    check_resume: Callable[[Path], None] | None,
) -> dict[str, Any]:
    """Do the work inside a run folder with a ledger row. An unfinished run of the same command line is continued."""
    from irctl import stopping

    folder = resumable(command, options, config, check_resume)
    run = begin(command, options, config, runner=options.runner, resume=folder)
    reporter.log, reporter.scrub = run.paths.log, run.scrub
    if folder:
        reporter.say(f"continuing {run.id}")
    if options.verbose:
        reporter.say(f"run folder {run.paths.folder}")
        for line in changed_settings(config):
            reporter.say(run.scrub(line))
    stopping.install()
    try:
        with run, system_errors():
            payload = work(Job(config, run, reporter, options))
            stopping.check()
    finally:
        stopping.restore()
    return {"run": run.id, "run_dir": str(run.paths.folder), **payload}


def begin(command: str, options: Options, config: Config, **more: Any) -> RunHandle:
    """The run folder and ledger row of a command line. more: what else start_run takes (runner, resume, columns)."""
    from irctl.ledger.recording import start_run

    return start_run(
        command=command,
        argv=list(options.argv),
        config=config,
        method=config.train.method if command == "train" else "",
        dataset=config.run.dataset or (config.data.source if _is_used(command, "data.source", config) else ""),
        model=config.model.name if _is_used(command, "model.name", config) else "",
        profile=options.profile,
        world_size=config.hardware.devices,
        seed=config.run.seed,
        name=config.run.name,
        **more,
    )


def _is_used(command: str, key: str, config: Config) -> bool:
    """Whether a value is what the run works on, before its work can say so: a default often gives way to an index."""
    return command in BY_DEFAULT or key in config.origins


def named_run(command: str, options: Options, check_resume: Callable[[Path], None] | None) -> Path:
    """Folder of the run that --resume names. Raises DataError where there is none, ConfigError for another command."""
    from irctl.ledger import query

    record = query.find_run(options.resume)
    if record.columns.get("command") != command:
        raise errors.ConfigError(
            f"--resume {options.resume}: is a run of '{record.columns.get('command')}', not of '{command}'",
            hint=f"latest:{command} is the newest of those",
        )
    if check_resume and not _is_own_job(record.folder):
        check_resume(record.folder)
    return record.folder


def resumable(
    command: str, options: Options, config: Config, check_resume: Callable[[Path], None] | None
) -> Path | None:
    """Folder of the run to continue: the one named by --resume, else this command line's newest unfinished one here.

    Relative paths mean other files in another folder, so a run begun there is another's. A requeued Slurm job takes its
    own run, whatever others with the same command line have left. None with --resume none.
    """
    from irctl.ledger import query, reap

    reap.reap()
    if options.resume == "none":
        return None
    if options.resume:
        return named_run(command, options, check_resume)
    same = [
        r
        for r in query.list_runs(command=command)
        if r.columns.get("config_sha256") == config.sha256()
        and _bare(r.columns.get("argv_json")) == _bare(options.argv)
        and (r.columns.get("cwd") == str(Path.cwd()) or slurm.is_own(r.columns))
        # tasks of one array share their command line; each continues its own run
        and r.columns.get("slurm_array_task_id") == slurm.job().get("slurm_array_task_id")
    ]
    for record in [r for r in same if slurm.is_restart_of(r.columns)] or same:
        status = record.columns.get("status")
        if status == "completed":
            return None
        if status in UNFINISHED or (status == "running" and slurm.is_restart_of(record.columns)):
            return Path(record.folder)
    return None


def _is_own_job(folder: Path) -> bool:
    """Whether a run is the one that this Slurm job was submitted for: it may come back before its first checkpoint."""
    from irctl.ledger import run_json

    if not slurm.job() or not run_json.is_run(folder):
        return False
    record = run_json.read(folder)
    return record.get("status") == "queued" or slurm.is_own(record)


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


def changed_settings(config: Config) -> list[str]:
    """Every setting that is not a default, with its origin."""
    return [f"{k} = {v['value']!r}  ({v['origin']})" for k, v in config.to_json().items() if v["origin"] != "default"]


def dry_run(
    command: str, options: Options, config: Config, describe: Callable[[Config], dict[str, Any]] | None
) -> None:
    """--dry-run: the settings that are not defaults, and what the command would do."""
    from irctl import console

    plan = describe(config) if describe else {}
    if options.json_:
        console.emit_json({"schema": f"irctl/{command}/1", "dry_run": True, "config": config.to_json(), "plan": plan})
        return
    console.out("settings (others are defaults; --show prints all)")
    for line in changed_settings(config):
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
