"""Small vectors and runs for the tests of compress, search and export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from irctl import config as configuration
from irctl.config import Config
from irctl.ledger.recording import RunHandle, start_run
from irctl.pipelines.compress.compress import compress
from irctl.pipelines.compress.request import CompressRequest
from irctl.types import Silent

SMALL = {"pq.m": 8, "pq.bits": 4, "pq.iterations": 3, "opq.m": 8, "opq.bits": 4, "opq.iterations": 2}
DIM = 32


def vectors(n: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((30, dim))
    rows = (centres[rng.integers(0, 30, n)] + rng.standard_normal((n, dim))) * np.arange(1, dim + 1) ** -0.4
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def save_vectors(path: Path, n: int = 2600, seed: int = 0) -> Path:
    np.save(path, vectors(n, seed))
    return path


def settings(**keys: Any) -> Config:
    """Configuration of dotted keys, written with __ for the dot."""
    named = {**SMALL, "compress.batch": 500} | {k.replace("__", "."): v for k, v in keys.items()}
    return configuration.resolve(configuration.from_sets(f"{k}={v}" for k, v in named.items()))


def new_run(command: str = "compress", config: Config | None = None) -> RunHandle:
    return start_run(command=command, argv=["irctl", command], config=config)


def compressed(
    source: Path | str, out: Path | None = None, reporter: Silent | None = None, **keys: Any
) -> dict[str, Any]:
    """Run `compress` in its own run, as the command does; options by name, settings with __ for the dot."""
    request = CompressRequest(out=str(out) if out else None, **{k: keys.pop(k) for k in list(keys) if "__" not in k})
    config = settings(**{"compress__source": source, "compress__stream": "true", **keys})
    run = new_run("compress", config)
    with run:
        return compress(config, run, reporter or Silent(), request)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes; journals come and go and do not count."""
    files = (f for f in sorted(folder.rglob("*")) if f.is_file() and "journal" not in f.parts)
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in files}
