"""What a compression needs in memory, checked before anything is read."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from irctl.errors import ConfigError
from irctl.index.encode_stream import WAITING

GIB = 1 << 30
_BASE = GIB // 2  # interpreter, libraries, codes in flight
_WORKER = GIB // 4  # the same of a local worker, which does not train: 80 MiB once everything is imported
_OWN = Path("/proc/self/cgroup")
_CGROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What decides the memory of a compression. workers: local processes, each with batches and a base of its own."""

    method: str
    dim: int
    train_rows: int
    batch_rows: int
    workers: int = 1
    is_cosine: bool = False

    @property
    def needed(self) -> int:
        """Bytes: training rows (of cosine also those of length 1), the method's work, batches in flight, a base."""
        train = self.train_rows * self.dim * 4
        work = 3 * self.dim * self.dim * 8 if self.method == "saq" else 2 * train if self.method == "opq" else 0
        work += train if self.is_cosine else 0
        batches = (2 * WAITING + 2) * self.batch_rows * self.dim * 4
        return train + work + self.workers * batches + _BASE + (self.workers * _WORKER if self.workers > 1 else 0)


@dataclass(frozen=True)
class Estimate:
    """Bytes that a compression needs, and those it may use. workers: local processes that share them."""

    needed: int
    limit: int
    workers: int

    @property
    def text(self) -> str:
        """Such as "1.50 GiB for 4 local workers of 12.0 GiB"."""
        return f"{self.needed / GIB:.2f} GiB{_in_words(self.workers)} of {self.limit / GIB:.1f} GiB"


def _in_words(workers: int) -> str:
    return f" for {workers} local workers" if workers > 1 else ""


def find_limit(memory_gib: float) -> int:
    """Bytes a run may use: compress.memory_gib where it is not 0, else the job's limit, else the host's memory."""
    import psutil

    if memory_gib:
        return int(memory_gib * GIB)
    limits = [int(psutil.virtual_memory().total)]
    if (node := os.environ.get("SLURM_MEM_PER_NODE", "")).isdigit():
        limits.append(int(node) << 20)
    per_cpu, cpus = (os.environ.get(f"SLURM_{name}", "") for name in ("MEM_PER_CPU", "CPUS_ON_NODE"))
    if per_cpu.isdigit() and cpus.isdigit():
        limits.append(int(per_cpu) * int(cpus) << 20)
    for path in _list_limit_files():
        if path.is_file() and (text := path.read_text().strip()).isdigit():
            limits.append(int(text))
    return min(n for n in limits if n)  # Slurm says 0 for all of a node


def _list_limit_files() -> list[Path]:
    """Files that may hold a limit: of this process's control group and of every group above it, version 2 and 1."""
    limit_files = list(_CGROUP)
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:
        return limit_files
    for line in lines:
        _, controllers, below = line.split(":", 2)
        root, name = _CGROUP[1].parent, _CGROUP[1].name
        if not controllers:
            root, name = _CGROUP[0].parent, _CGROUP[0].name
        elif "memory" not in controllers.split(","):
            continue
        folder = root / below.lstrip("/")
        while folder != root and folder.is_relative_to(root):
            limit_files.append(folder / name)
            folder = folder.parent
    return limit_files


def check(sizes: Sizes, limit: int, *, stream: bool) -> Estimate:
    """What is needed of the bytes that may be used. Raises ConfigError with the largest sizes that fit."""
    need, workers = sizes.needed, sizes.workers
    if need <= limit:
        return Estimate(need, limit, workers)
    message = f"compress: needs {need / GIB:.1f} GiB of memory{_in_words(workers)}, the limit is {limit / GIB:.1f} GiB"
    if not stream:
        raise ConfigError(f"{message}: without --stream a whole input file is in memory", hint="Use --stream")
    for fewer in range(workers - 1, 0, -1):
        if replace(sizes, workers=fewer).needed <= limit:
            raise ConfigError(message, hint=f"At most --set compress.workers={fewer}")
    batch = max(500, (limit - _BASE) // ((2 * WAITING + 2) * sizes.dim * 4 * 4) // 500 * 500)  # a quarter for batches
    batch = min(batch, sizes.batch_rows)
    untrained = replace(sizes, train_rows=0, batch_rows=batch, workers=1)
    per_thousand = replace(untrained, train_rows=1000).needed - untrained.needed
    train = max(0, min((limit - untrained.needed) * 1000 // per_thousand, sizes.train_rows))
    alone = " and one worker" if workers > 1 else ""
    raise ConfigError(message, hint=f"At most --train-size {train} with --batch {batch}{alone}")
