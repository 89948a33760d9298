"""Queries where there are no texts: a document's vector, moved by noise and brought back to its length.

Dimension key: P pseudo-queries, D vector width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from irctl.data import draws
from irctl.training.method import Item

Floats = NDArray[np.float32]


class PseudoQueries:
    """take: vectors [P, D] of document rows. rows: documents there are. noise: length of what is added, in the mean,
    in lengths of the document's vector; it is Gaussian in every dimension alike.
    """

    def __init__(self, take: Callable[[NDArray[np.int64]], Floats], rows: int, noise: float, seed: int) -> None:
        self._take, self._rows, self._noise, self._seed = take, rows, noise, seed

    def __call__(self, items: Sequence[Item]) -> tuple[Floats, NDArray[np.int64]]:
        """(queries [P, D], rows of their documents [P]), each drawn by seed, epoch and item alone."""
        generators = [draws.generator("pseudo-query", self._seed, epoch, index) for index, epoch in items]
        rows_P = np.array([generator.integers(self._rows) for generator in generators], np.int64)
        documents_PD = self._take(rows_P).astype(np.float64)
        dim = documents_PD.shape[1]
        noise_PD = np.stack([g.standard_normal(dim) for g in generators]) * (self._noise / np.sqrt(dim))
        length_P1 = np.linalg.norm(documents_PD, axis=1, keepdims=True)
        moved_PD = documents_PD + noise_PD * length_P1
        moved_PD *= length_P1 / np.maximum(np.linalg.norm(moved_PD, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        return moved_PD.astype(np.float32), rows_P
