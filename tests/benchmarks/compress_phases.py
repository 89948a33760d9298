"""Where the CPU seconds of one whole compression go, all threads counted; a process of its own measures one.

    python tests/benchmarks/compress_phases.py --data VECTORS --method sq --out FOLDER [any option of irctl compress]

Prints a JSON object of seconds by phase on the last line. A phase does not count what a phase inside it does.
"""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

PHASES = [  # module, function, name
    ("irctl.pipelines.compress.compress", "_open_input", "input: open, hash"),
    ("irctl.pipelines.compress.manifest", "check_distinct", "ids distinct, before"),
    ("irctl.pipelines.compress.work", "Work._read_samples", "samples: draw, read"),
    ("irctl.pipelines.compress.work", "Work._train", "train"),
    ("irctl.pipelines.compress.probe", "Probe.__init__", "measure: exact"),
    ("irctl.pipelines.compress.work", "Work._measure", "measure: codes"),
    ("irctl.pipelines.compress.work", "Work.plan_and_train", "plan"),
    ("irctl.index.encode_stream", "run", "batches"),
    ("irctl.pipelines.compress.manifest", "_check_ids", "ids distinct, after"),
    ("irctl.pipelines.compress.results", "finish", "manifest, ledger"),
]
LATE = ("irctl.quantizers.shared.product", "irctl.pipelines.compress.probe", "pyarrow.parquet", "pyarrow.compute")
"""What the phases would import, so that start and imports are told apart from them."""
STAGES = {"reader_s": "batches: read", "encoder_s": "batches: encode", "writer_s": "batches: hash, write"}
START, REST, WHOLE = "start, imports", "the rest", "whole"


def spent() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(argv: Sequence[str]) -> dict[str, float]:
    """CPU seconds by phase of `irctl compress ARGV` in this process, which has done nothing else."""
    from irctl import cli

    for module in LATE:
        importlib.import_module(module)
    seconds: dict[str, float] = {START: spent()}
    inner: list[float] = []
    stages: list[Any] = []

    def timed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            began = time.process_time()
            inner.append(0.0)
            try:
                result = function(*args, **named)
            finally:
                took = time.process_time() - began
                seconds[name] = seconds.get(name, 0.0) + took - inner.pop()
                if inner:
                    inner[-1] += took
            if name == "batches":
                stages.append(result)
            return result

        return call

    for module, path, name in PHASES:
        holder: Any = importlib.import_module(module)
        *classes, function = path.split(".")
        for each in classes:
            holder = getattr(holder, each)
        setattr(holder, function, timed(getattr(holder, function), name))
    seconds[START] = spent()
    sys.argv = ["irctl", "compress", *argv]
    try:
        cli.main()
    except SystemExit as e:
        if e.code:
            raise
    whole = spent()
    for times in stages:
        seconds.pop("batches", None)
        for field, name in STAGES.items():
            seconds[name] = seconds.get(name, 0.0) + getattr(times, field)
    seconds[REST] = whole - sum(seconds.values())
    return {**seconds, WHOLE: whole}


def phases_of(argv: Sequence[str], environment: dict[str, str]) -> dict[str, float]:
    """`measure` in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *argv], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(sys.argv[1:])) + "\n")
