"""CPU seconds of run lists and reports over 10,000 runs and 1,000,000 metric rows, and the size of the page.

Bars: `runs ls --dataset D` .5 s, `report` 3 s (a process each, its start included), HTML 5 MB.
Measured on two quiet cores, median of 3: .40 and 2.53; the page 2.67 MB. A busy machine tells up to three times as many
CPU seconds: compare in turns there.

    python tests/benchmarks/bench_ledger.py [--folder DIR] [--seeds 5] [--profile "report"]

--folder keeps the ledger, and takes one that is there. --profile runs one command under cProfile.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import large_ledger
from showing import show

MAIN = "from irctl.cli import main; main()"
RUNS = 3
COMMANDS = (
    "--help",
    "help train",
    "runs ls --dataset scifact",
    "runs ls --dataset scifact --limit 20",
    "runs ls --dataset scifact --json",
    "runs ls",
    "runs show latest:eval",
    "report",
    "report --dataset scifact",
    "report --dataset scifact --table compression",
    "report --format html -o page.html",
    "report --format html --dataset scifact -o one.html",
)


def measure(line: str, folder: Path) -> None:
    """Run one command RUNS times, a process each, and tell the median; what it wrote to a file, by size."""
    words = [sys.executable, "-c", MAIN, *shlex.split(line)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # compiled, as installed
    took = []
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    spent = statistics.median(took)
    written = folder / shlex.split(line)[-1]
    size = f", {written.stat().st_size / 1e6:.2f} MB" if written.suffix == ".html" else ""
    said = "" if done.returncode == 0 else f"  exit {done.returncode}: {done.stderr.strip()[:200]}"
    show(f"{spent:7.2f} CPU s  irctl {line}{size}{said}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--profile", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)).absolute()
        os.environ["IRCTL_RUNS"] = str(folder / "runs")
        if not (folder / "runs").is_dir():
            show(f"{large_ledger.make(folder / 'runs', seeds=given.seeds)} runs made")
        if given.profile:
            words = [
                sys.executable,
                "-m",
                "cProfile",
                "-s",
                "cumulative",
                "-m",
                "irctl.cli",
                *shlex.split(given.profile),
            ]
            subprocess.run(words, cwd=folder, check=False)
            return
        for line in COMMANDS:
            measure(line, folder)


if __name__ == "__main__":
    main()
