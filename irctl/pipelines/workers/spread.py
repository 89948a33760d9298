"""One job in several processes, each with a contiguous share of it: child processes of this one, or actors of Ray.

A task is a function `module:name(job, index, count) -> dict`, and its job a mapping that JSON can hold: a worker opens
what the job names. No vectors, models or pickles travel. The pieces of a share are written so that a killed worker
loses at most the one it was at; what is done twice is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.pipelines.workers import local
from irctl.pipelines.workers.worker import Progress
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.settings import Hardware


def spread(
    task: str,
    job: Mapping[str, Any],
    count: int,
    hardware: Hardware,
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

        return ray_actors.spread(task, job, count, hardware, progress, reporter)
    return local.spread(task, job, count, hardware, place, progress, reporter)
