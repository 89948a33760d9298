"""Several samples of one input, read in one pass: it is read once, however many samples are drawn from it.

Dimension key: N sampled rows, D vector width, n rows of a piece.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from irctl.data.vectors import allocator
from irctl.data.vectors.parts import Place
from irctl.files import writing
from irctl.types import Stream


class Waiting:
    """Rows in a file without a name below `folder` until they are asked for: what is not yet used takes no memory."""

    def __init__(self, folder: Path, dim: int) -> None:
        self._folder, self._dim = folder, dim
        with writing(folder):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by load

    def __setitem__(self, at: object, rows_nD: NDArray[np.float32]) -> None:
        with writing(self._folder):
            self._file.write(np.ascontiguousarray(rows_nD, np.float32).data)

    def load(self) -> NDArray[np.float32]:
        """All rows [N, D]; the file is gone after it."""
        with writing(self._folder), self._file:
            self._file.seek(0)
            return np.fromfile(self._file, np.float32).reshape(-1, self._dim)


class _Apart:
    """Rows of the union of several samples, each handed to the samples that it belongs to."""

    def __init__(self, union_N: NDArray[np.int64], samples: Sequence[tuple[NDArray[np.int64], Place]]) -> None:
        self._samples = [(np.searchsorted(union_N, rows_N), place) for rows_N, place in samples]

    def __setitem__(self, at_n: NDArray[np.int64], rows_nD: NDArray[np.float32]) -> None:
        first, last = int(at_n[0]), int(at_n[-1])
        for at_N, place in self._samples:
            low, high = np.searchsorted(at_N, (first, last + 1)).tolist()
            if low < high:
                place[low:high] = rows_nD[at_N[low:high] - first]


def take_apart(stream: Stream, samples: Sequence[tuple[NDArray[np.int64], Place]]) -> None:
    """Put the vectors at the rows of each sample (ascending) into its place."""
    allocator.keep_freed_memory()
    union_N = np.unique(np.concatenate([rows_N for rows_N, _ in samples]))
    if hasattr(stream, "take_into"):
        stream.take_into(union_N, _Apart(union_N, samples))
        return
    for rows_N, place in samples:
        place[0 : len(rows_N)] = stream.take(rows_N)
