"""What a compression needs in memory and on disk, checked before anything is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError
from irctl.index.encode_stream import WAITING

if TYPE_CHECKING:
    from irctl.config import Config

GIB = 1 << 30
_BASE = GIB // 2  # interpreter, libraries, codes in flight
_WORKER = GIB // 4  # the same of a local worker, which does not train: 80 MiB once everything is imported
_OWN = Path("/proc/self/cgroup")
_CGROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def limit(config: Config) -> int:
    """Bytes a run may use: compress.memory_gib, else the job's limit, else the host's memory."""
    import psutil

    if config.compress.memory_gib:
        return int(config.compress.memory_gib * GIB)
    limits = [int(psutil.virtual_memory().total)]
    if (node := os.environ.get("SLURM_MEM_PER_NODE", "")).isdigit():
        limits.append(int(node) << 20)
    per_cpu, cpus = (os.environ.get(f"SLURM_{name}", "") for name in ("MEM_PER_CPU", "CPUS_ON_NODE"))
    if per_cpu.isdigit() and cpus.isdigit():
        limits.append(int(per_cpu) * int(cpus) << 20)
    for path in _cgroup_files():
        if path.is_file() and (text := path.read_text().strip()).isdigit():
            limits.append(int(text))
    return min(n for n in limits if n)  # Slurm says 0 for all of a node


def _cgroup_files() -> list[Path]:
    """Files that may hold a limit: of this process's control group and of every group above it, version 2 and 1."""
    found = list(_CGROUP)
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, below = line.split(":", 2)
        root, name = _CGROUP[1].parent, _CGROUP[1].name
        if not controllers:
            root, name = _CGROUP[0].parent, _CGROUP[0].name
        elif "memory" not in controllers.split(","):
            continue
        folder = root / below.lstrip("/")
        while folder != root and folder.is_relative_to(root):
            found.append(folder / name)
            folder = folder.parent
    return found


def needed(
    method: str, dim: int, train_rows: int, batch_rows: int, workers: int = 1, *, is_cosine: bool = False
) -> int:
    """Bytes: training rows (of cosine also those of length 1), what the method works on, batches in flight, and a base.

    workers: local processes, each with batches and a base of its own beside the one that started them.
    """
    train = train_rows * dim * 4
    work = 3 * dim * dim * 8 if method == "saq" else 2 * train if method == "opq" else 0
    work += train if is_cosine else 0
    batches = (2 * WAITING + 2) * batch_rows * dim * 4
    return train + work + workers * batches + _BASE + (workers * _WORKER if workers > 1 else 0)


def check(
    method: str,
    dim: int,
    train_rows: int,
    batch_rows: int,
    cap: int,
    *,
    stream: bool,
    workers: int = 1,
    is_cosine: bool = False,
) -> int:
    """The bytes needed. Raises ConfigError with the largest sizes that fit."""
    need = needed(method, dim, train_rows, batch_rows, workers, is_cosine=is_cosine)
    if need <= cap:
        return need
    several = f" for {workers} local workers" if workers > 1 else ""
    message = f"compress: needs {need / GIB:.1f} GiB of memory{several}, the limit is {cap / GIB:.1f} GiB"
    if not stream:
        raise ConfigError(f"{message}: without --stream a whole input file is in memory", hint="Use --stream")
    for fewer in range(workers - 1, 0, -1):
        if needed(method, dim, train_rows, batch_rows, fewer, is_cosine=is_cosine) <= cap:
            raise ConfigError(message, hint=f"At most --set compress.workers={fewer}")
    batch = max(500, (cap - _BASE) // ((2 * WAITING + 2) * dim * 4 * 4) // 500 * 500)  # a quarter for batches
    batch = min(batch, batch_rows)
    per_row = needed(method, dim, 1000, 0, is_cosine=is_cosine) - needed(method, dim, 0, 0)
    train = max(0, min((cap - needed(method, dim, 0, batch)) * 1000 // per_row, train_rows))
    alone = " and one worker" if workers > 1 else ""
    raise ConfigError(message, hint=f"At most --train-size {train} with --batch {batch}{alone}")


def estimate(methods: list[Any], rows: int, id_bytes: int) -> int:
    """Bytes of codes and ids on disk."""
    return sum(rows * (q.code_size + id_bytes) for q in methods)
