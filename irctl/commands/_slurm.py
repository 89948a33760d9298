"""`--runner slurm`: the same command line as a job script, printed or handed to sbatch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from irctl import slurm
from irctl.commands._options import Options

if TYPE_CHECKING:
    from irctl.config import Config

_TIME = {"train": "24:00:00", "encode": "12:00:00", "compress": "12:00:00"}


def submit(command: str, options: Options, config: Config, describe: Callable[[Config], dict[str, Any]] | None) -> None:
    """Render the job script into a run folder and submit it; with --dry-run only print it."""
    from irctl import console
    from irctl.commands._run import dry_run
    from irctl.ledger.recording import start_run

    argv = local_argv(options.argv)
    text = slurm.script(argv, resources(command, config), slurm.site())
    if options.dry_run:
        if not options.json_:
            console.out(text)
        return dry_run(command, options, config, describe)
    run = start_run(
        command=command,
        argv=list(options.argv),
        config=config,
        method=config.train.method if command == "train" else "",
        dataset=config.run.dataset or config.data.source,
        model=config.model.name,
        profile=options.profile,
        runner="slurm",
        status="queued",
    )
    # by name, so that a requeued job continues this run and no other
    argv += ["--resume", str(run.paths.folder.resolve())]
    run.paths.job.write_text(slurm.script(argv, resources(command, config), slurm.site()))
    job = slurm.submit(run.paths.job)
    run.note(slurm_job_id=job)
    payload = {"schema": f"irctl/{command}/1", "run": run.id, "slurm_job_id": job, "script": str(run.paths.job)}
    if options.json_:
        console.emit_json(payload)
    else:
        console.out(run.id if options.quiet else f"submitted job {job}, run {run.id}: {run.paths.job}")


def local_argv(argv: tuple[str, ...]) -> list[str]:
    """The command line that the job itself runs: without the runner and the dry run."""
    kept: list[str] = []
    skip = False
    for word in argv:
        if skip or word in ("--dry-run", "--runner") or word.startswith("--runner="):
            skip = word == "--runner" and not skip
            continue
        kept.append(word)
    return kept


def resources(command: str, config: Config) -> slurm.Resources:
    """What the job asks for, from the profile: devices, and 8 cores and 64 GB a GPU at the most a node usually has."""
    gpus = config.hardware.devices if config.hardware.device_kind == "cuda" else 0
    cpus = max(8, gpus * max(1, config.hardware.workers))
    memory = "12G" if command == "compress" else f"{max(32, 32 * gpus)}G"
    return slurm.Resources(
        name=f"irctl-{command}", time=_TIME.get(command, "04:00:00"), cpus=cpus, memory=memory, gpus=gpus
    )
