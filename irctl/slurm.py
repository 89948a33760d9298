"""Slurm: job scripts as text, and the few Slurm tools irctl calls. Plain sbatch, nothing pickled.

The script ends in `exec irctl ...`, so the process that Slurm signals is irctl itself.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from irctl import tables
from irctl.config import Config, read_toml
from irctl.errors import ConfigError, EnvironmentUnfit, RunFailed
from irctl.origins import CHOSEN, Kind

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
"""A line of a job script holds none of them."""
MAX_REQUEUE = 3
NOTICE_S = 180
CHOICES = (*CHOSEN, Kind.RECIPE)
"""Origins of a setting that somebody chose for this very run."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a cluster asks for, from the TOML file that IRCTL_SITE names: never part of a profile or a recipe."""

    partition: str = ""
    account: str = ""
    account_required: bool = False
    qos: str = ""
    constraint: str = ""
    modules: tuple[str, ...] = ()
    venv: str = ""
    scratch: str = ""
    tmp: str = ""
    price_per_hour: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Resources:
    """One job's resources. time: D-HH:MM:SS as Slurm writes it. gpus: a node. array: such as 0-15."""

    name: str
    time: str = "12:00:00"
    cpus: int = 8
    memory: str = "12G"
    gpus: int = 0
    nodes: int = 1
    array: str = ""


def site() -> Site:
    """The site file, or an empty one where IRCTL_SITE is not set. Raises ConfigError on a key it does not know."""
    given = os.environ.get("IRCTL_SITE")
    if not given:
        return Site()
    path = Path(given)
    if not path.is_file():
        raise ConfigError(f"IRCTL_SITE: {given}: no such file", hint="Unset it, or write the site's facts there")
    table = read_toml(path)
    legal = {f.name for f in fields(Site)}
    if wrong := [k for k in table if k not in legal]:
        raise ConfigError(f"{given}: '{wrong[0]}' is not a site key", hint=f"Legal: {', '.join(sorted(legal))}")
    shape = {f"{f.name}?": [str] if f.default == () else type(f.default) for f in fields(Site)}
    tables.check(table, shape, given, error=ConfigError)
    if broken := next((k for k, v in table.items() if UNPRINTABLE.search(str(v))), None):
        raise ConfigError(f"{given}: {broken}: expected one line, found {tables.shown(table[broken])}")
    if not (math.isfinite(price := table.get("price_per_hour", 0.0)) and price >= 0):
        raise ConfigError(f"{given}: price_per_hour: expected 0 or more, found {tables.shown(price)}")
    if "modules" in table:
        table["modules"] = tuple(table["modules"])
    return Site(**table)


def script(argv: Sequence[str], resources: Resources, where: Site) -> str:
    """A job script: every #SBATCH line, then the site's lines, then `exec` of the command.

    Raises ConfigError if the site needs an account and none is given.
    """
    if where.account_required and not where.account:
        raise ConfigError(
            "site: this cluster needs an account", hint="Add account = '...' to the file IRCTL_SITE names"
        )
    log = "%x-%A_%a.out" if resources.array else "%x-%j.out"
    asked: dict[str, Any] = {
        "job-name": resources.name,
        "nodes": resources.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": resources.cpus,
        "mem": resources.memory,
        "gres": f"gpu:{resources.gpus}" if resources.gpus else "",
        "time": resources.time,
        "array": resources.array,
        "partition": where.partition,
        "account": where.account,
        "qos": where.qos,
        "constraint": where.constraint,
        "tmp": where.tmp,
        "signal": f"B:USR2@{NOTICE_S}",
        "output": log,
        "open-mode": "append",
    }
    lines = ["#!/bin/bash", *(f"#SBATCH --{k}={v}" for k, v in asked.items() if v not in ("", 0)), "#SBATCH --requeue"]
    lines += ["set -euo pipefail", *(f"module load {shlex.quote(m)}" for m in where.modules)]
    if where.venv:
        lines.append(f"source {shlex.quote(where.venv + '/bin/activate')}")
    lines.append(f"exec {shlex.join(argv)}")
    text = "\n".join(lines) + "\n"
    check(text)
    return text


def check(text: str) -> None:
    """Raise ConfigError if an #SBATCH line stands after the first command: Slurm ignores such lines without a word."""
    commands_began = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#SBATCH") and commands_began:
            raise ConfigError(f"job script:{number}: '{line}' stands after the first command, where Slurm ignores it")
        commands_began |= bool(line.strip()) and not line.startswith("#")


def submit(path: Path, *, dependency: str = "", text: str | None = None) -> str:
    """Hand a script to sbatch; returns the job id. text: what runs in its place, with secrets that the file hides.

    Raises EnvironmentUnfit without Slurm, RunFailed if it refuses.
    """
    if shutil.which("sbatch") is None:
        raise EnvironmentUnfit("--runner slurm: no sbatch on PATH", hint="Run on a login node, or use --runner local")
    argv = ["sbatch", "--parsable", *([f"--dependency={dependency}"] if dependency else [])]
    argv += [] if text else [str(path)]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunFailed(f"sbatch refused {path}: {done.stderr.strip()}")
    return done.stdout.strip().split(";")[0]


def job() -> dict[str, Any]:
    """Columns that name this process's Slurm job: of an array the array's id and the task; empty outside Slurm."""
    env = os.environ
    if "SLURM_JOB_ID" not in env:
        return {}
    restarts = env.get("SLURM_RESTART_COUNT", "")
    return {
        "slurm_job_id": env.get("SLURM_ARRAY_JOB_ID", env["SLURM_JOB_ID"]),
        "slurm_array_task_id": env.get("SLURM_ARRAY_TASK_ID"),
        "slurm_restart_count": int(restarts) if restarts.isdigit() else 0,
    }


def is_own(stored: Mapping[str, Any]) -> bool:
    """Whether a run's row is of this job and task: a requeued job keeps its id."""
    own = job()
    return bool(own) and all(stored.get(k) == own[k] for k in ("slurm_job_id", "slurm_array_task_id"))


def is_restart_of(stored: Mapping[str, Any]) -> bool:
    """Whether this process is that run's job, started again: whoever ran it before is gone."""
    return is_own(stored) and job()["slurm_restart_count"] > (stored.get("slurm_restart_count") or 0)


def check_devices(config: Config) -> None:
    """Raise EnvironmentUnfit where the job holds GPUs and the settings leave them idle, unless somebody chose so."""
    gpus = os.environ.get("SLURM_GPUS_ON_NODE") or os.environ.get("SLURM_JOB_GPUS")
    chosen = config.origin("hardware.device_kind")
    if gpus and config.hardware.device_kind == "cpu" and chosen.kind not in CHOICES:
        raise EnvironmentUnfit(
            f"this job holds GPUs ({gpus}) and hardware.device_kind is cpu (from {chosen})",
            hint="Name them with --profile, such as a100x8; --set hardware.device_kind=cpu leaves them idle",
        )


def requeue() -> bool:
    """Ask Slurm to run this job again, at most MAX_REQUEUE times: a preempted run's last act. True if asked."""
    env: Mapping[str, str] = os.environ
    if "SLURM_JOB_ID" not in env or job()["slurm_restart_count"] >= MAX_REQUEUE or shutil.which("scontrol") is None:
        return False
    return subprocess.run(["scontrol", "requeue", env["SLURM_JOB_ID"]], check=False).returncode == 0
