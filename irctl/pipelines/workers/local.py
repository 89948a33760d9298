"""Worker processes on this machine: their cores and surroundings, watching and stopping them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from irctl.pipelines.workers.worker import EXPECTED, Progress
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config


LOOK_EVERY_S = 0.2
"""How soon the end of a worker is seen."""

COUNT_EVERY_S = 2.0
"""How often journals are read for the bar: a look at each file of a million batches is work for a shared disk."""


def watch(children: list[subprocess.Popen[bytes]], progress: Progress, reporter: Reporter) -> None:
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


def stop_all(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)


def environment(config: Config, index: int, count: int) -> dict[str, str]:
    """Variables of a local worker: its device, and its part of the cores where the user named no number of threads."""
    extra = {"LOCAL_RANK": str(index), "TOKENIZERS_PARALLELISM": "false"}
    if config.hardware.device_kind == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        extra["OMP_NUM_THREADS"] = str(config.hardware.omp_threads or max(1, cores() // count))
    return {**os.environ, **extra}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
