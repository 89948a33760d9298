"""Vectors that nobody has to download: clusters with a decaying spectrum, rotated, of length 1.

Any block can be made alone and is the same every time: rows are drawn in blocks of 1024 by a counter-based generator,
and the rotation is signs and cosine transforms, so no matrix product's rounding depends on threads or batch.
Dimension key: N rows, D vector width.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from irctl.data import draws
from irctl.data.vectors.parts import Piece, Place
from irctl.errors import ConfigError, DataError

BLOCK = 1024
CLUSTERS = 500
SPREAD = 1.0
"""Standard deviation inside a cluster over that between centres."""
SEED = 42
PREFIX = "synthetic:"


class SyntheticPart:
    """synthetic:N,D,decay. Standard deviation of direction i (from 1) is i^-decay before the rotation."""

    def __init__(self, text: str) -> None:
        self.name, self.has_ids = text, False
        fields = text.removeprefix(PREFIX).split(",")
        try:
            rows, dim, decay = int(float(fields[0])), int(fields[1]), float(fields[2])
        except (IndexError, ValueError):
            rows, dim, decay = -1, 0, 0.0
        if len(fields) != 3 or rows < 0 or dim < 1 or not np.isfinite(decay):
            raise ConfigError(f"{text}: expected synthetic:N,D,decay", hint="Example: synthetic:20000,1024,0.5")
        self.rows, self.dim, self.decay = rows, dim, decay

    @cached_property
    def _deviations_D(self) -> NDArray[np.float32]:
        return (np.arange(1, self.dim + 1, dtype=np.float64) ** -self.decay).astype(np.float32)

    @cached_property
    def _centres_CD(self) -> NDArray[np.float32]:
        draw = draws.generator(SEED, "centres", self.dim)
        return draw.standard_normal((CLUSTERS, self.dim), dtype=np.float32) * self._deviations_D

    @cached_property
    def _signs_2D(self) -> NDArray[np.float32]:
        draw = draws.generator(SEED, "signs", self.dim)
        return draw.choice(np.array([-1, 1], dtype=np.float32), size=(2, self.dim))

    def _block(self, number: int) -> NDArray[np.float32]:
        from scipy.fft import dct

        draw = draws.generator(SEED, "rows", self.dim, number)
        noise_ND = draw.standard_normal((BLOCK, self.dim), dtype=np.float32) * self._deviations_D
        x_ND = self._centres_CD[draw.integers(0, CLUSTERS, BLOCK)] + np.float32(SPREAD) * noise_ND
        for signs_D in self._signs_2D:  # each round is orthogonal; two mix every direction into every other
            x_ND = dct(x_ND * signs_D, norm="ortho", axis=1, workers=1)
        x_ND /= np.linalg.norm(x_ND, axis=1, keepdims=True)
        return x_ND

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        for number in range(start // BLOCK, -(-stop // BLOCK) if stop > start else 0):
            first = number * BLOCK
            yield self._block(number)[max(start - first, 0) : stop - first], None

    def take(self, rows_N: NDArray[np.int64], out_ND: Place, at_N: NDArray[np.int64]) -> None:
        if len(rows_N) and rows_N.max() >= self.rows:
            raise DataError(f"{self.name}: no row {rows_N.max()}")
        for number in np.unique(rows_N // BLOCK).tolist():
            mine = rows_N // BLOCK == number
            out_ND[at_N[mine]] = self._block(number)[rows_N[mine] - number * BLOCK]

    def groups(self) -> list[tuple[int, int]]:
        return []

    def id_span(self, start: int, stop: int) -> list[str]:
        raise AssertionError("has no ids")
