"""One worker's share of a job, and the process that does it.

local.py starts it as `python -m irctl.pipelines.workers.worker TASK JOB INDEX COUNT`; an actor of Ray calls perform.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from irctl import errors, stopping

EXPECTED = (errors.OK, errors.SIGTERM)
"""What a worker may end with that is no fault: done, or asked to stop."""


@dataclass(frozen=True)
class Progress:
    """What the bar shows while workers work. done: rows finished so far, read from their journals."""

    title: str
    rows: int
    done: Callable[[], int]


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
