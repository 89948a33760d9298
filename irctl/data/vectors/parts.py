"""What a stream asks of each of its files, whatever its format: npy.py and parquet.py answer.

Dimension key: N rows, D vector width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Piece = tuple[NDArray[np.floating], list[str] | None]


class VectorPart(Protocol):
    """Consecutive rows of a stream that lie in one file.

    groups: (start, stop) of rows that are read from the first of them on; none where any row can be read alone.

    take writes the vector of rows_N[i] into out_ND[at_N[i]]: a sample as large as memory is never there twice.

    id_span gives the ids of rows start .. stop, where has_ids, without reading vectors.
    """

    name: str
    rows: int
    dim: int
    has_ids: bool

    def pieces(self, start: int, stop: int) -> Iterator[Piece]: ...
    def take(self, rows_N: NDArray[np.int64], out_ND: NDArray[np.float32], at_N: NDArray[np.int64]) -> None: ...
    def groups(self) -> list[tuple[int, int]]: ...
    def id_span(self, start: int, stop: int) -> list[str]: ...
