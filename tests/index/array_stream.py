"""A stream over an array, with faults to order, for tests."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from irctl.types import VectorBlock


class ArrayStream:
    """files: (name, rows). broken_at: the reader fails at this row. wait_s: pause before each block."""

    def __init__(
        self,
        x_ND: np.ndarray,
        ids: Sequence[str] | None = None,
        files: Sequence[tuple[str, int]] = (),
        broken_at: int = -1,
        wait_s: float = 0.0,
    ) -> None:
        self.x_ND, self.ids = np.ascontiguousarray(x_ND, np.float32), ids
        self.files = tuple(files)
        self.rows, self.dim = x_ND.shape
        self.fingerprint = f"array {x_ND.shape} {float(np.nansum(x_ND)):.6g}"
        self.broken_at, self.wait_s = broken_at, wait_s
        self.blocks_read = 0

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[VectorBlock]:
        stop = self.rows if stop is None else min(stop, self.rows)
        for a in range(start, stop, size):
            time.sleep(self.wait_s)
            b = min(a + size, stop)
            if a <= self.broken_at < b:
                raise OSError("the disk is on fire")
            self.blocks_read += 1
            yield VectorBlock(a, None if self.ids is None else self.ids[a:b], self.x_ND[a:b])

    def take(self, rows_N: np.ndarray) -> np.ndarray:
        return self.x_ND[rows_N]


def vectors(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
