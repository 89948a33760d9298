"""Workers as processes of this machine: started with their share of the cores, watched, stopped, their answers read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import errors, stopping
from irctl.errors import RunFailed
from irctl.pipelines.workers.worker import EXPECTED, Progress
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.settings import Hardware

MODULE = "irctl.pipelines.workers.worker"
"""What a worker process runs."""

LOOK_EVERY_S = 0.2
"""How soon the end of a worker is seen."""

COUNT_EVERY_S = 2.0
"""How often journals are read for the bar: a look at each file of a million batches is work for a shared disk."""


def spread(
    task: str,
    job: Mapping[str, Any],
    count: int,
    hardware: Hardware,
    place: Path,
    progress: Progress,
    reporter: Reporter,
) -> list[dict[str, Any]]:
    """Do every share in a process of this machine and return what each answered. See spread.py."""
    name = task.partition(":")[2].strip("_")
    saved = place / f"{name}.json"
    saved.write_text(json.dumps(job))
    logs = [place / f"{name}-{i}.log" for i in range(count)]
    answers = [place / f".{name}-{i}.answer" for i in range(count)]
    children: list[subprocess.Popen[bytes]] = []
    stopping.on_stop(lambda number: _stop_all(children))
    try:
        for index in range(count):
            command = [sys.executable, "-P", "-m", MODULE, task, str(saved), str(index), str(count)]
            with logs[index].open("wb") as log, answers[index].open("wb") as answer:
                child = subprocess.Popen(
                    command,
                    stdout=answer,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    env=make_environment(hardware, index, count),
                    start_new_session=True,
                )
            children.append(child)
        _watch(children, progress, reporter)
    finally:
        _stop_all(children)
        for child in children:
            child.wait()
        texts = [a.read_text() for a in answers if a.is_file()]
        for answer_file in answers:
            answer_file.unlink(missing_ok=True)
    failed = [
        (child.returncode, log) for child, log in zip(children, logs, strict=True) if child.returncode not in EXPECTED
    ]
    # one that is told to stop before it listens dies of the signal: that is no failure of its own
    for code, log_file in sorted(failed, key=lambda end: end[0] == -signal.SIGTERM):
        if code == -signal.SIGTERM and stopping.requested():
            continue
        lines = log_file.read_text(errors="replace").strip().splitlines() or [f"exit {code}"]
        kind = next((k for k in (errors.DataError, errors.ConfigError) if k.exit_code == code), RunFailed)
        raise kind(f"{name} failed: {lines[-1]}", hint=f"Its log: {log_file}")
    stopping.check("what the workers finished is kept")
    return [json.loads(text) for text in texts if text.strip()]


def _watch(children: list[subprocess.Popen[bytes]], progress: Progress, reporter: Reporter) -> None:
    """Until all have ended, or one has failed."""
    before, counted = progress.done(), time.monotonic()
    with reporter.bar(f"{progress.title}, {len(children)} workers", progress.rows, before) as advance:
        alive = True
        while alive:
            if any(child.poll() not in (None, *EXPECTED) for child in children):
                return
            alive = any(child.returncode is None for child in children)
            if alive:
                time.sleep(LOOK_EVERY_S)
            if not alive or time.monotonic() - counted >= COUNT_EVERY_S:
                now, counted = progress.done(), time.monotonic()
                advance(now - before)
                before = now


def _stop_all(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)


def make_environment(hardware: Hardware, index: int, count: int) -> dict[str, str]:
    """Variables of a local worker: its device, and its part of the cores where the user named no number of threads."""
    extra = {"LOCAL_RANK": str(index), "TOKENIZERS_PARALLELISM": "false"}
    if hardware.device_kind == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        extra["OMP_NUM_THREADS"] = str(hardware.omp_threads or max(1, count_cores() // count))
    return {**os.environ, **extra}


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
