"""One job in several processes, each with a contiguous share of it: child processes of this one, or actors of Ray.

A task is a function `module:name(job, index, count) -> dict`, and its job a mapping that JSON can hold: a worker opens
what the job names. No vectors, models or pickles travel. The pieces of a share are written so that a killed worker
loses at most the one it was at; what is done twice is the same.

Started as `python -m irctl.pipelines._workers TASK JOB INDEX COUNT`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import errors, stopping
from irctl.errors import RunFailed
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config

LOOK_EVERY_S = 0.2
"""How soon the end of a worker is seen."""
COUNT_EVERY_S = 2.0
"""How often journals are read for the bar: a look at each file of a million batches is work for a shared disk."""
EXPECTED = (errors.OK, errors.SIGTERM)
"""What a worker may end with that is no fault: done, or asked to stop."""


@dataclass(frozen=True)
class Progress:
    """What the bar shows while workers work. done: rows finished so far, read from their journals."""

    title: str
    rows: int
    done: Callable[[], int]


def spread(
    task: str,
    job: Mapping[str, Any],
    count: int,
    config: Config,
    place: Path,
    progress: Progress,
    reporter: Reporter,
    *,
    runner: str = "local",
) -> list[dict[str, Any]]:
    """Run the workers to their end and return what each answered; what they finished is where the job says.

    place: folder for the job file and the workers' logs. runner: local or ray. A signal is passed on: local workers
    finish the piece in hand, Ray's end at once. Raises RunFailed with the last line of a worker that failed, after the
    others were stopped.
    """
    if runner == "ray":
        from irctl.pipelines import _ray

        return _ray.spread(task, job, count, config, progress, reporter)
    name = task.partition(":")[2].strip("_")
    saved = place / f"{name}.json"
    saved.write_text(json.dumps(job))
    logs = [place / f"{name}-{i}.log" for i in range(count)]
    answers = [place / f".{name}-{i}.answer" for i in range(count)]
    children: list[subprocess.Popen[bytes]] = []
    stopping.on_stop(lambda number: _stop(children))
    try:
        for index in range(count):
            command = [sys.executable, "-P", "-m", __name__, task, str(saved), str(index), str(count)]
            with logs[index].open("wb") as log, answers[index].open("wb") as answer:
                child = subprocess.Popen(
                    command,
                    stdout=answer,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    env=environment(config, index, count),
                    start_new_session=True,
                )
            children.append(child)
        _watch(children, progress, reporter)
    finally:
        _stop(children)
        for child in children:
            child.wait()
        texts = [a.read_text() for a in answers if a.is_file()]
        for answer_file in answers:
            answer_file.unlink(missing_ok=True)
    for child, log_file in zip(children, logs, strict=True):
        if child.returncode not in EXPECTED:
            lines = log_file.read_text(errors="replace").strip().splitlines() or [f"exit {child.returncode}"]
            kind = next(
                (k for k in (errors.DataError, errors.ConfigError) if k.exit_code == child.returncode), RunFailed
            )
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


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
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


def perform(task: str, job: Mapping[str, Any], index: int, count: int) -> dict[str, Any]:
    """Do one share, in this process."""
    module, _, name = task.partition(":")
    answer: dict[str, Any] = getattr(import_module(module), name)(job, index, count)
    return answer


def main(task: str, saved: str, index: str, count: str) -> int:
    """A local worker; the exit code. Its answer is stdout's one line, its error the last of stderr."""
    stopping.install()
    try:
        answer = perform(task, json.loads(Path(saved).read_text()), int(index), int(count))
    except errors.IrctlError as e:
        sys.stderr.write(f"{e}\n")
        return e.exit_code
    sys.stdout.write(json.dumps(answer) + "\n")
    return errors.OK


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
