"""`--runner slurm`: the same command line as a job script, printed or handed to sbatch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import slurm
from irctl.command_line import CommandLine
from irctl.commands.frame.options import Options
from irctl.commands.frame.reading import reader
from irctl.errors import IrctlError

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.settings import Hardware

_TIME = {"train": "24:00:00", "encode": "12:00:00", "compress": "12:00:00"}


MOST_TASKS = 256
"""Array tasks that run at once."""


@dataclass(frozen=True)
class Step:
    """One job: what its process runs, and its array, such as 0-15. It starts once the step before it has succeeded."""

    name: str
    argv: tuple[str, ...]
    array: str = ""


def submit(command: str, options: Options, config: Config, describe: Callable[[Config], dict[str, Any]] | None) -> None:
    """Render the job scripts into a run folder and submit them; with --dry-run only print them."""
    from irctl import console, paths
    from irctl.commands.frame.output import dry_run
    from irctl.commands.frame.record import begin
    from irctl.files import write_atomic
    from irctl.ledger.files import run_json
    from irctl.ledger.files.run_folder import utc_now

    line = reader(options.root)(options.argv).without("--runner", "--dry-run")
    site = slurm.site()
    if options.dry_run:
        planned = steps(line, config.compress.workers, paths.runs() / "ID")
        scripts = {
            f"{s.name}.sbatch": slurm.script(s.argv, resources(command, config.hardware, s), site) for s in planned
        }
        return dry_run(command, options, config, lambda c: {**scripts, **(describe(c) if describe else {})})
    run = begin(command, options, config, runner="slurm", status="queued")
    jobs: dict[str, str] = {}
    for step in steps(line, config.compress.workers, run.paths.folder.resolve()):
        path = run.paths.job.with_name(f"{step.name}.sbatch")
        text = slurm.script(step.argv, resources(command, config.hardware, step), site)
        hidden = run.scrub(text)
        write_atomic(path, hidden)
        before = list(jobs.values())[-1:]
        try:
            jobs[step.name] = slurm.submit(
                path, dependency=f"afterok:{before[0]}" if before else "", text=text if hidden != text else None
            )
        except IrctlError as e:
            if before:
                e.hint = f"Its first jobs wait for nothing now: scancel {' '.join(jobs.values())}"
            run.note(status="failed", exit_code=e.exit_code, error_kind=e.kind, error_msg=str(e), ended_at=utc_now())
            raise
    # a job that has begun keeps its run's record itself
    if run_json.read(run.paths.folder)["status"] == "queued":
        run.note(slurm_job_id=jobs["job"])
    payload = {
        "schema": "irctl/submitted/1",
        "command": command,
        "run": run.id,
        "slurm_job_id": jobs["job"],
        "jobs": jobs,
        "script": str(path),
    }
    if options.json_:
        console.emit_json(payload)
    else:
        shown = ", ".join(jobs.values())
        console.out(run.id if options.quiet else f"submitted job {shown}, run {run.id}: {path.parent}")


def steps(line: CommandLine, workers: int, folder: Path) -> list[Step]:
    """The jobs of a command line: one, or for a compression by several workers three: train, array, finalize.

    The last continues the run by its folder, so that a requeued job finds this run and no other.
    """
    if line.name != "compress" or workers == 1 or any(map(line.has, ("--train-only", "--finalize", "--shard"))):
        return [Step("job", ("irctl", *line.with_option("--resume", str(folder)).words))]
    worker = line if line.has("--out") else line.with_option("--out", str(folder / "out"))
    last = worker.with_option("--finalize").with_option("--resume", str(folder))
    child = ("env", f"IRCTL_GROUP={folder.name}", "irctl")
    tasks = f"0-{workers - 1}" + (f"%{MOST_TASKS}" if workers > MOST_TASKS else "")
    return [
        Step("train", (*child, *worker.with_option("--train-only").words)),
        Step("array", (*child, *worker.words), tasks),
        Step("job", ("irctl", *last.words)),
    ]


def resources(command: str, hardware: Hardware, step: Step) -> slurm.Resources:
    """What a job asks for, from the profile: devices, and 8 cores and 64 GB a GPU at the most a node usually has."""
    gpus = hardware.devices if hardware.device_kind == "cuda" else 0
    cpus = max(8, gpus * max(1, hardware.workers))
    memory = "12G" if command == "compress" else f"{max(32, 32 * gpus)}G"
    name = f"irctl-{command}" + ("" if step.name == "job" else f"-{step.name}")
    return slurm.Resources(
        name=name, time=_TIME.get(command, "04:00:00"), cpus=cpus, memory=memory, gpus=gpus, array=step.array
    )
