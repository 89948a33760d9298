"""The exact nearest rows of queries: what compressed search is measured against.

They are kept in the cache under a hash of vectors, queries, metric and depth, so nothing stale is ever read.
Dimension key: Q queries, D dimensions, k results.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irctl import files, paths
from irctl.data.files.made_once import key_of
from irctl.errors import DataError
from irctl.files import write_atomic
from irctl.index import scan, scan_block
from irctl.types import Reporter, Stream, VectorBlock

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 1
"""Of the arithmetic: float64 products rounded once, score descending, then row ascending."""


@dataclass(frozen=True)
class Nearest:
    """rows_Qk: best first. key: the hash they are kept under. was_kept: they came from the cache."""

    rows_Qk: NDArray[np.int64]
    key: str
    was_kept: bool


class First:
    """The first rows of a stream: what a compression that stopped early has seen."""

    def __init__(self, stream: Stream, rows: int) -> None:
        self._stream = stream
        self.rows, self.dim = rows, stream.dim
        self.fingerprint = f"{stream.fingerprint}[:{rows}]"

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[VectorBlock]:
        return self._stream.blocks(size, start, min(self.rows if stop is None else stop, self.rows))

    def take(self, rows_N: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._stream.take(rows_N)


def find_nearest(
    queries_QD: NDArray[np.float32],
    stream: Stream,
    k: int,
    metric: str,
    reporter: Reporter,
    *,
    block: int = 0,
    fresh: bool = False,
) -> Nearest:
    """The exact k best rows of each query (all rows where there are fewer than k). fresh: search even if kept.

    block: rows scored at once; 0: as many as is usual.
    """
    key = key_of(
        {
            "version": VERSION,
            "vectors": stream.fingerprint,
            "queries": hashlib.sha256(np.ascontiguousarray(queries_QD).data).hexdigest(),
            "shape": list(queries_QD.shape),
            "metric": metric,
            "k": k,
        }
    )
    path = paths.cache() / "exact" / f"{key}.npy"
    if path.is_file() and not fresh:
        return Nearest(_read(path, (len(queries_QD), min(k, stream.rows))), key, True)
    block = scan_block.choose(block, k, None)
    with reporter.bar("exact search", stream.rows) as advance:
        best = scan.search_vectors(queries_QD, stream, k, metric, block=block, advance=advance)
    write_atomic(path, best.rows_Qk)
    return Nearest(best.rows_Qk, key, False)


def _read(path: Path, shape: tuple[int, int]) -> NDArray[np.int64]:
    try:
        rows_Qk: NDArray[np.int64] = np.load(path, allow_pickle=False)
    except OSError as e:
        raise files.read_error(path, e, hint="Remove it; it is made again") from None
    except ValueError as e:
        raise DataError(f"{path}: cannot be read ({e})", hint="Remove it; it is made again") from None
    if rows_Qk.dtype != np.int64 or rows_Qk.shape != shape:
        stored = f"{rows_Qk.dtype} {rows_Qk.shape}"
        raise DataError(f"{path}: expected int64 {shape}, found {stored}", hint="Remove it; it is made again")
    return rows_Qk
