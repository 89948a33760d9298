"""What a stream asks of each of its files, whatever its format: npy.py and parquet.py answer.

Dimension key: N rows, D vector width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Piece = tuple[NDArray[np.floating], list[str] | None]


class Place(Protocol):
    """Where rows go: an array [N, D], or what takes rows as one does. at: their places in it."""

    def __setitem__(self, at: Any, rows_nD: NDArray[np.floating], /) -> None: ...


class VectorPart(Protocol):
    """Consecutive rows of a stream that lie in one file.

    groups: (start, stop) of rows that are read from the first of them on; none where any row can be read alone.

    take writes the vector of rows_N[i] into out_ND[at_N[i]]: a sample as large as memory is never there twice. Rows
    that ascend come in their order.

    id_span gives the ids of rows start .. stop, where has_ids, without reading vectors.
    """

    name: str
    rows: int
    dim: int
    has_ids: bool

    def pieces(self, start: int, stop: int) -> Iterator[Piece]: ...
    def take(self, rows_N: NDArray[np.int64], out_ND: Place, at_N: NDArray[np.int64]) -> None: ...
    def groups(self) -> list[tuple[int, int]]: ...
    def id_span(self, start: int, stop: int) -> list[str]: ...
