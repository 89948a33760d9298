"""Starting training processes and seeing them through: argv as a list, one process group, stop by file, exits mapped.

One device: a child process. More: torchrun, or the deepspeed launcher. Signals are never passed on: USR2 would kill
torchrun's agent and orphan its workers. Imports no torch.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from irctl import errors, plugins, stopping, tables
from irctl.config import Config
from irctl.errors import ConfigError, EnvironmentUnfit, IrctlError, RunFailed
from irctl.ledger.files.run_folder import write_json
from irctl.paths import RunPaths
from irctl.training.run_files.journal import LAUNCHER, Follower

MODULE = "irctl.training.processes.worker"
LAUNCHERS = ("torchrun", "deepspeed")
PYTHON = (sys.executable, "-P")  # `-m` alone would import from the current folder first
POLL_S = 0.2
_KILLED_RANK = re.compile(r"exitcode\s*:\s*-(\d+)")  # torchrun itself ends with 1
KEPT_ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "DS_ACCELERATOR")
"""What launch.json records of the environment: nothing that could hold a secret."""


def check_launcher(launcher: str) -> None:
    """Raise ConfigError for a launcher that there is not."""
    if launcher not in LAUNCHERS:
        hint = plugins.near(launcher, LAUNCHERS)
        raise ConfigError(f"--launcher {launcher}: expected {' or '.join(LAUNCHERS)}", hint=hint)


def argv(config: Config, folder: Path, launcher: str = "torchrun") -> list[str]:
    """Command line of the training processes."""
    check_launcher(launcher)
    devices = config.hardware.devices
    nodes = int(os.environ.get("SLURM_NNODES", "1"))
    if nodes > 1:
        return _on_nodes(devices, nodes, folder)
    if devices == 1:
        return [*PYTHON, "-m", MODULE, str(folder)]
    if launcher == "deepspeed":
        start = [*PYTHON, "-m", "deepspeed.launcher.runner", "--num_gpus", str(devices), "--no_local_rank"]
        return [*start, "--module", MODULE, str(folder)]
    # --standalone: its own rendezvous, so that two runs on one host do not meet
    start = [*PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(devices)]
    return [*start, "-m", MODULE, str(folder)]


def _on_nodes(devices: int, nodes: int, folder: Path) -> list[str]:
    """One torchrun a node, started by srun inside a Slurm job."""
    if devices % nodes:
        raise ConfigError(
            f"hardware.devices={devices} cannot be shared evenly by {nodes} nodes",
            hint=f"Nearest legal: {devices // nodes * nodes or nodes} or {(devices // nodes + 1) * nodes}",
        )
    job = os.environ.get("SLURM_JOB_ID", "0")
    port = 15000 + int(job) % 15000
    return [
        "srun", "--ntasks-per-node=1",
        *PYTHON, "-m", "torch.distributed.run", f"--nnodes={nodes}", f"--nproc-per-node={devices // nodes}",
        "--rdzv-backend=c10d", f"--rdzv-id={job}", f"--rdzv-endpoint={_first_host()}:{port}",
        "-m", MODULE, str(folder),
    ]  # fmt: skip


def _first_host() -> str:
    listed = os.environ.get("SLURM_JOB_NODELIST", "")
    try:
        found = subprocess.run(["scontrol", "show", "hostnames", listed], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as e:
        raise EnvironmentUnfit(
            f"scontrol show hostnames {listed}: {e}", hint="Start several nodes from a Slurm job"
        ) from e
    return found.stdout.split()[0]


def environment(config: Config) -> dict[str, str]:
    """What is set for the training processes, beside the caller's environment."""
    hardware = config.hardware
    one_host = os.environ.get("SLURM_NNODES", "1") == "1"
    launcher = str(os.getpid()) if one_host else "0"  # a process id means nothing on another host
    extra = {"TOKENIZERS_PARALLELISM": "false", "IRCTL_LAUNCHER_PID": launcher, "PYTHONUNBUFFERED": "1"}
    extra["PYTHONSAFEPATH"] = "1"  # as -P, for what torchrun and deepspeed start in their turn
    if hardware.device_kind == "cpu":
        extra |= {"CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"}
        if "OMP_NUM_THREADS" not in os.environ:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            extra["OMP_NUM_THREADS"] = str(hardware.omp_threads or max(1, cores // hardware.devices))
    elif hardware.devices == 1:
        # a process that sees several GPUs would be spread over all of them by transformers
        extra["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    if hardware.omp_threads:
        extra["OMP_NUM_THREADS"] = str(hardware.omp_threads)
    return extra


def request_stop(paths: RunPaths, number: int) -> None:
    """Ask the workers to save and stop. They look every few seconds, at the end of a step."""
    paths.control.mkdir(parents=True, exist_ok=True)
    staged = paths.stop.with_suffix(f".tmp-{os.getpid()}")
    staged.write_text(json.dumps({"signal": signal.Signals(number).name}))
    staged.rename(paths.stop)


def run(
    command: list[str],
    extra: Mapping[str, str],
    paths: RunPaths,
    *,
    on_row: Callable[[dict[str, Any]], None],
    also: Mapping[str, Any] | None = None,
) -> None:
    """Run the training processes to their end; on_row gets every new line of metrics.jsonl.

    also: what launch.json tells the workers beside command and environment.

    Raises what a worker reported, Stopped after a signal, or RunFailed with the signal or the last line of the log.
    """
    paths.stop.unlink(missing_ok=True)
    _record(command, extra, paths, also or {})
    asked: list[int] = []

    def on_signal(number: int) -> None:
        asked.append(number)
        request_stop(paths, number)

    stopping.on_stop(on_signal)
    ends: dict[str, dict[str, Any]] = {}  # the first row of each event that says how a worker ended

    def take(row: dict[str, Any]) -> None:
        if row.get("event") in ("error", "stopped"):
            ends.setdefault(row["event"], row)
        on_row(row)

    code = _watch(command, extra, paths, take)
    if error := ends.get("error"):
        raise _as_error(error)
    if stopped := ends.get("stopped"):
        number = asked[0] if asked else _signal_in(paths.stop)
        raise stopping.stopped(number, _tell_kept(stopped["step"], stopped["steps"]))
    if code and asked:
        raise stopping.stopped(asked[0], "its processes ended before they could save; the last checkpoint is kept")
    if code:
        raise _died(code, paths)


def _tell_kept(step: int | None, steps: int | None) -> str:
    """What is left of a training that was stopped after a step; None: before it looked for what was saved."""
    if step is None:
        return "before it went on; what was saved is kept"
    if not step:
        return "before the first step was done, so nothing is kept"
    return f"saved at step {step}" + (f" of {steps}" if steps else "")


def _record(command: list[str], extra: Mapping[str, str], paths: RunPaths, also: Mapping[str, Any]) -> None:
    """Add to launch.json, which has machine and packages for the ledger, what is started and what workers are told."""
    kept = {k: v for k, v in {**os.environ, **extra}.items() if k in KEPT_ENVIRONMENT}
    run_facts = tables.json_object(paths.launch) if paths.launch.is_file() else {}
    write_json(paths.launch, {**run_facts, "training": {"argv": command, "env": kept}, **also})


def _watch(
    command: list[str], extra: Mapping[str, str], paths: RunPaths, take: Callable[[dict[str, Any]], None]
) -> int:
    """Run the processes to their end, handing on each new row of metrics.jsonl; the exit code."""
    launcher = f"{os.getpid()}-{time.time_ns()}"
    follower = Follower(paths.metrics, from_end=True, launcher=launcher)

    def look() -> None:
        for row in follower.rows():
            take(row)

    with paths.log.open("ab") as log:
        child = subprocess.Popen(
            command,
            env={**os.environ, **extra, LAUNCHER: launcher},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C reaches the launcher only
        )
        try:
            while child.poll() is None:
                look()
                time.sleep(POLL_S)
        finally:
            _end_group(child)
    look()
    return child.returncode


def _signal_in(stop: Path) -> int:
    """The signal that a worker itself was sent, as its stop file says."""
    name = json.loads(stop.read_text())["signal"] if stop.is_file() else "SIGTERM"
    return int(signal.Signals[name])


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Leave no process of the group behind, whatever ended the wait."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _as_error(row: Mapping[str, Any]) -> IrctlError:
    kind = getattr(errors, str(row["kind"]), RunFailed)
    if not (isinstance(kind, type) and issubclass(kind, IrctlError)) or kind is errors.Stopped:
        kind = RunFailed
    error: IrctlError = kind(str(row["message"]), hint=str(row.get("hint", "")))
    return error


def _died(code: int, paths: RunPaths) -> RunFailed:
    lines = _tail(paths.log)
    last = next((line for line in reversed(lines) if line.strip()), "nothing")
    by_torchrun = next((int(m[1]) for line in lines if (m := _KILLED_RANK.search(line))), 0)
    if number := max(-code, by_torchrun, 0):
        name = signal.Signals(number).name
        memory = ", perhaps by the kernel for want of memory" if number == signal.SIGKILL else ""
        return Killed(f"a training process was killed by {name}{memory}", number)
    return RunFailed(f"training ended with code {code}; last line of {paths.log}: {last.strip()}")


class Killed(RunFailed):
    """A worker ended by a signal, which the ledger records apart from other failures."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message, hint="The same command continues")
        self.signal = number

    @property
    def kind(self) -> str:
        return RunFailed.__name__


def _tail(log: Path, size: int = 4096) -> list[str]:
    with log.open("rb") as f:
        f.seek(0, os.SEEK_END)
        f.seek(max(0, f.tell() - size))
        return f.read().decode(errors="replace").splitlines()
