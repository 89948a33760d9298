"""A finished folder of embeddings: memory-mapped vectors and ids behind types.Stream.

Dimension key: N vectors, D dimensions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from irctl.errors import DataError
from irctl.index import shards
from irctl.ledger import stored
from irctl.types import VectorBlock

FORMAT = "irctl-embeddings"
VERSION = 1
SHAPE = {"rows": int, "dim": int, "dtype": str, "similarity": str, "key": str}


class EmbeddingIds(Sequence[str]):
    """Document ids by row, read from the mapped files."""

    def __init__(self, columns: Sequence[Any], starts: Sequence[int], rows: int) -> None:
        self._columns, self._starts, self._rows = columns, starts, rows

    def __len__(self) -> int:
        return self._rows

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            start, stop, step = index.indices(self._rows)
            return [self[i] for i in range(start, stop, step)] if step != 1 else self._span(start, stop)
        row = index + self._rows if index < 0 else index
        if not 0 <= row < self._rows:
            raise IndexError(f"row {index} of {self._rows}")
        part = bisect_right(self._starts, row) - 1
        return str(self._columns[part][row - self._starts[part]].as_py())

    def _span(self, start: int, stop: int) -> list[str]:
        found: list[str] = []
        for column, first in zip(self._columns, self._starts, strict=True):
            low, high = max(start - first, 0), min(stop - first, len(column))
            if low < high:
                found += column.slice(low, high - low).to_pylist()
        return found


class EmbeddingFolder:
    """Vectors of a corpus or of queries. fingerprint: the content key of what they were made from.

    Raises DataError where the manifest is absent or a file is missing or of another size; where one is damaged, as it
    is first read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = shards.read_manifest(folder, FORMAT, VERSION, SHAPE)
        self.rows = int(self.manifest["rows"])
        self.dim = int(self.manifest["dim"])
        self.dtype = str(self.manifest["dtype"])
        self.similarity = str(self.manifest["similarity"])
        self.key = str(self.manifest["key"])
        self.fingerprint = self.key
        self.parts: list[dict[str, Any]] = self.manifest["parts"]
        for part in self.parts:
            if not shards.is_present(folder, part):
                raise DataError(
                    f"{folder}: {part['file']} or its ids are missing or cut off",
                    hint="irctl encode writes missing shards again",
                )
        self._starts = [int(s) for s in np.cumsum([0, *(p["rows"] for p in self.parts)])[:-1]]

    @property
    def tokens(self) -> int:
        """Tokens that were encoded, padding not counted."""
        return int(self.manifest["tokens"])

    @cached_property
    def ids(self) -> EmbeddingIds:
        stored.check_all((self.folder / p["ids"], str(p["ids_sha256"])) for p in self.parts)
        columns = [shards.read_ids(self.folder / p["ids"]) for p in self.parts]
        return EmbeddingIds(columns, self._starts, self.rows)

    @cached_property
    def _vectors(self) -> list[NDArray[Any]]:
        stored.check_all((self.folder / p["file"], str(p["sha256"])) for p in self.parts)
        return [np.load(self.folder / p["file"], mmap_mode="r", allow_pickle=False) for p in self.parts]

    def __len__(self) -> int:
        return self.rows

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[VectorBlock]:
        """Blocks of `size` rows from `start` on, wherever the shards end; the last is short."""
        end = self.rows if stop is None else min(stop, self.rows)
        for first in range(start, end, size):
            last = min(first + size, end)
            yield VectorBlock(first, self.ids[first:last], self._span(first, last))

    def _span(self, start: int, stop: int) -> NDArray[np.float32]:
        found_ND = np.empty((stop - start, self.dim), np.float32)
        for vectors_ND, first in zip(self._vectors, self._starts, strict=True):
            low, high = max(start, first), min(stop, first + len(vectors_ND))
            if low < high:
                found_ND[low - start : high - start] = vectors_ND[low - first : high - first]
        return found_ND

    def take(self, rows_N: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors [N, D] at these rows, in the order asked."""
        rows_N = np.asarray(rows_N, dtype=np.int64)
        if len(rows_N) and (rows_N.min() < 0 or rows_N.max() >= self.rows):
            raise DataError(f"{self.folder}: rows 0 to {self.rows - 1}, asked {rows_N.min()} to {rows_N.max()}")
        found_ND = np.empty((len(rows_N), self.dim), np.float32)
        part_N = np.searchsorted(np.array(self._starts), rows_N, side="right") - 1
        for part in np.unique(part_N):
            at = part_N == part
            found_ND[at] = self._vectors[part][rows_N[at] - self._starts[part]]
        return found_ND

    def array(self) -> NDArray[np.float32]:
        """All vectors [N, D] in memory."""
        return self._span(0, self.rows)

    def verify(self) -> int:
        """Hash every file again; returns how many. DataError names the first that differs."""
        return shards.verify(self.folder, self.parts)
