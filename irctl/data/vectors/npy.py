"""Vectors in a .npy file, memory-mapped.

Dimension key: N vectors, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.data.vectors.ids import ID_BLOCK, VectorIds
from irctl.data.vectors.parquet import BATCH
from irctl.data.vectors.parts import Piece
from irctl.errors import DataError
from irctl.ledger import stored


class NpyPart:
    """A .npy file, memory-mapped: 2-D, C order, float16 or float32.

    sha256: of the whole file, where it is known: checked before the first row is read, with `samples` also for take.
    """

    def __init__(
        self, path: Path, ids: VectorIds | None = None, first_id: int = 0, sha256: str = "", *, samples: bool = True
    ) -> None:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise DataError(f"{path}: no such file") from None
        except (OSError, ValueError, EOFError) as e:
            raise DataError(f"{path}: not a .npy file of numbers ({str(e).splitlines()[0]})") from None
        check_array(str(path), array.shape, array.dtype, bool(array.flags.c_contiguous))
        self.name, (self.rows, self.dim) = str(path), array.shape
        self._vectors_ND = array
        self.has_ids = ids is not None
        self._ids, self._first_id = ids, first_id
        self.path, self.sha256, self._samples = path, sha256, samples

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        stored.check(self.path, self.sha256)
        if self._ids is None:
            yield self._vectors_ND[start:stop], None
            return
        for low in range(start, stop, ID_BLOCK):
            high = min(low + ID_BLOCK, stop)
            yield self._vectors_ND[low:high], self.id_span(low, high)

    def id_span(self, start: int, stop: int) -> list[str]:
        assert self._ids is not None
        return self._ids.span(self._first_id + start, self._first_id + stop)

    def take(self, rows_N: NDArray[np.int64], out_ND: NDArray[np.float32], at_N: NDArray[np.int64]) -> None:
        if self._samples:
            stored.check(self.path, self.sha256)
        order = np.argsort(rows_N, kind="stable")  # ascending reads of a mapped file
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            out_ND[at_N[some]] = self._vectors_ND[rows_N[some]]

    def groups(self) -> list[tuple[int, int]]:
        return []


def check_array(name: str, shape: tuple[int, ...], dtype: np.dtype[Any], is_c_order: bool) -> None:
    """Raises DataError unless an array is 2-D, C order, float16 or float32."""
    if len(shape) != 2 or dtype not in (np.float16, np.float32) or not (is_c_order or min(shape) <= 1):
        order = "" if is_c_order else ", Fortran order"
        raise DataError(f"{name}: expected a 2-D C-order float16 or float32 array, found {dtype} {shape}{order}")
