"""One job in several processes, each with a contiguous share of it: child processes of this one, or actors of Ray.

A task is a function `module:name(job, index, count) -> dict`, and its job a mapping that JSON can hold: a worker opens
what the job names. No vectors, models or pickles travel. The pieces of a share are written so that a killed worker
loses at most the one it was at; what is done twice is the same.

Started as `python -m irctl.pipelines._workers TASK JOB INDEX COUNT`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import errors, stopping
from irctl.errors import RunFailed
from irctl.pipelines.workers.local import environment, stop_all, watch
from irctl.pipelines.workers.worker import EXPECTED, Progress, main
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config


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
        from irctl.pipelines.workers import ray_actors

        return ray_actors.spread(task, job, count, config, progress, reporter)
    name = task.partition(":")[2].strip("_")
    saved = place / f"{name}.json"
    saved.write_text(json.dumps(job))
    logs = [place / f"{name}-{i}.log" for i in range(count)]
    answers = [place / f".{name}-{i}.answer" for i in range(count)]
    children: list[subprocess.Popen[bytes]] = []
    stopping.on_stop(lambda number: stop_all(children))
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
        watch(children, progress, reporter)
    finally:
        stop_all(children)
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


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
