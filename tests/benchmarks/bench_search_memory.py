"""Peak memory of `irctl search` over 100,000 rows with query vectors, beside the size of the codes.

Bar: codes + 300 MB.

python tests/benchmarks/bench_search_memory.py [--rows 100000] [--dim 1024] [--methods pq,rabitq,sq,flat]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from showing import show

MIB = 1 << 20
QUERIES, K = 100, 100


def irctl(folder: Path, *words: str) -> tuple[dict[str, object], float, float]:
    """(--json payload, peak MiB of the process, CPU seconds)."""
    environment = {**os.environ, "IRCTL_RUNS": str(folder / "runs"), "IRCTL_CACHE": str(folder / "cache")}
    code = "import sys; from irctl.cli import main; sys.argv[0] = 'irctl'; main()"
    # a shell between the two, so that the peak is that process's own and not that of earlier children
    reader = (
        "import json, resource, subprocess, sys;"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True);"
        "use = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "sys.stderr.write(done.stderr); print(done.stdout.strip());"
        "print(json.dumps([done.returncode, use.ru_maxrss / 1024, use.ru_utime + use.ru_stime]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", reader, sys.executable, "-c", code, *words, "--json"],
        capture_output=True, text=True, env=environment, check=True,
    )  # fmt: skip
    *_, payload, use = done.stdout.strip().splitlines()
    status, peak, cpu = json.loads(use)
    if status:
        raise SystemExit(done.stderr)
    return json.loads(payload), peak, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--methods", default="pq,rabitq,sq,flat")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        queries = np.random.default_rng(0).standard_normal((QUERIES, given.dim)).astype(np.float32)
        np.save(folder / "q.npy", queries)
        show(f"{'method':8} {'codes MiB':>10} {'peak MiB':>9} {'above codes':>12} {'CPU s':>6}")
        for method in given.methods.split(","):
            source = f"synthetic:{given.rows},{given.dim},0.5"
            keys = ["--set", "compress.probe=0", "--train-size", "20000"]
            made, _, _ = irctl(folder, "compress", "--data", source, "--stream", "--method", method, *keys)
            found, peak, cpu = irctl(
                folder, "search", "--index", str(made["bundle"]), "--queries", str(folder / "q.npy"), "-k", str(K)
            )
            codes = float(str(found["code_size"])) * given.rows / MIB
            show(f"{method:8} {codes:10.1f} {peak:9.1f} {peak - codes:12.1f} {cpu:6.2f}")


if __name__ == "__main__":
    main()
