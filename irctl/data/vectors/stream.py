"""A stream of vectors over several files, in blocks, with its ids.

Dimension key: N vectors, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.data.vectors.ids import ID_BLOCK, ID_OFFSET, ID_SAMPLE
from irctl.data.vectors.npy import NpyPart
from irctl.data.vectors.parquet import ParquetPart
from irctl.data.vectors.parts import Place, VectorPart
from irctl.errors import DataError
from irctl.ledger import stored
from irctl.types import VectorBlock


class StreamIds(Sequence[str]):
    """The ids of a stream's rows, one after the other; the row's number in a part without ids."""

    def __init__(self, parts: Sequence[VectorPart]) -> None:
        self._parts = parts
        self._starts = np.r_[0, np.cumsum([p.rows for p in parts])].astype(np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, row: Any) -> Any:
        if not 0 <= row < len(self):
            raise IndexError(row)
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        first = int(self._starts[number])
        return self._span(number, row - first, row - first + 1)[0]

    def __iter__(self) -> Iterator[str]:
        for number, part in enumerate(self._parts):
            for low in range(0, part.rows, ID_BLOCK):
                yield from self._span(number, low, min(low + ID_BLOCK, part.rows))
            if isinstance(part, ParquetPart):
                part.forget_ids()

    def _span(self, number: int, start: int, stop: int) -> list[str]:
        if self._parts[number].has_ids:
            return self._parts[number].id_span(start, stop)
        first = int(self._starts[number])
        return [str(first + row) for row in range(start, stop)]

    @property
    def width(self) -> float:
        """Bytes of an id as it is stored, from the first of them."""
        rows = min(len(self), ID_SAMPLE)
        return sum(len(self[i].encode()) + ID_OFFSET for i in range(rows)) / rows if rows else 0.0


class VectorStream:
    """A types.Stream over parts. files: (name, rows) in order. about: facts of the folder that made it, if any.

    source: a name that will open the same content again, where the name asked for may not: hf:// at a commit.
    """

    def __init__(
        self, parts: Sequence[VectorPart], fingerprint: str, about: Mapping[str, Any] | None = None, source: str = ""
    ) -> None:
        if empty := next((p for p in parts if p.rows and p.dim < 1), None):
            raise DataError(f"{empty.name}: expected vectors of width 1 or more, found width 0")
        widths = {p.dim for p in parts if p.rows}
        if len(widths) > 1:
            odd = next(p for p in parts if p.rows and p.dim != parts[0].dim)
            raise DataError(f"{odd.name}: expected width {parts[0].dim}, as in {parts[0].name}, found {odd.dim}")
        self.parts = tuple(parts)
        self.files = tuple((p.name, p.rows) for p in parts)
        self.rows = sum(p.rows for p in parts)
        self.dim = widths.pop() if widths else (parts[0].dim if parts else 0)
        self.fingerprint = fingerprint
        self.about = dict(about or {})
        self.source = source
        self._starts = np.r_[0, np.cumsum([p.rows for p in parts])].astype(np.int64)

    def __len__(self) -> int:
        return self.rows

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[VectorBlock]:
        """Rows start .. stop in blocks of `size`, the last one shorter; a block may span files.

        Raises DataError with file and row for a value that is not finite.
        """
        stop = self.rows if stop is None else min(stop, self.rows)
        filling: _Filling | None = None
        for vectors_ND, names in self._pieces(start, stop):
            taken = 0
            while taken < len(vectors_ND):
                filling = filling or _Filling(min(size, stop - start), self.dim)
                taken += filling.add(vectors_ND[taken:], None if names is None else names[taken:])
                if filling.is_full:
                    yield self._block(start, filling)
                    start, filling = start + filling.size, None

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[NDArray[np.floating], list[str] | None]]:
        for part, first in zip(self.parts, self._starts.tolist(), strict=False):
            low, high = max(start - first, 0), min(stop - first, part.rows)
            if low < high:
                yield from part.pieces(low, high)

    def take(self, rows_N: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors [N, D] at these rows, in the order asked."""
        out_ND = np.empty((len(rows_N), self.dim), np.float32)
        self.take_into(rows_N, out_ND)
        return out_ND

    def take_into(self, rows_N: NDArray[np.int64], out: Place) -> None:
        """Put the vector at rows_N[i] into out[i], several at once as they are read; ascending rows in their order."""
        rows_N = np.asarray(rows_N, dtype=np.int64)
        if len(rows_N) and (rows_N.min() < 0 or rows_N.max() >= self.rows):
            raise DataError(f"{self.describe()}: rows 0 to {self.rows - 1}, asked {rows_N.min()} to {rows_N.max()}")
        finite = _FiniteRows(out, lambda at: self._bad_row(int(rows_N[at])))
        part_N = np.searchsorted(self._starts, rows_N, side="right") - 1
        for number in np.unique(part_N).tolist():
            mine = np.flatnonzero(part_N == number)
            self.parts[number].take(rows_N[mine] - self._starts[number], finite, mine)

    def check(self) -> None:
        """Hash the files whose hash is known and that were not hashed before. DataError for one that is damaged."""
        files = [part for part in self.parts if isinstance(part, NpyPart)]
        stored.check_all((part.path, part.sha256) for part in files)

    def groups(self) -> list[tuple[int, int]]:
        """(start, stop) of rows that are read from the first of them on: the row groups of parquet files."""
        pairs = zip(self.parts, self._starts.tolist(), strict=False)
        return [(first + a, first + b) for part, first in pairs for a, b in part.groups()]

    def document_ids(self) -> StreamIds | None:
        """Ids by row, read when asked for; None where row numbers are all there is."""
        return StreamIds(self.parts) if any(p.has_ids for p in self.parts) else None

    def id_bytes(self) -> float:
        """About how many bytes an id takes where it is stored; 0 without ids."""
        known = self.document_ids()
        return 0.0 if known is None else known.width

    def describe(self) -> str:
        return self.parts[0].name if len(self.parts) == 1 else f"{len(self.parts)} files"

    def _block(self, start: int, filling: _Filling) -> VectorBlock:
        vectors_ND = filling.vectors()
        if filling.bad is not None:
            raise self._bad_row(start + filling.bad)
        return VectorBlock(start, filling.ids, vectors_ND)

    def _bad_row(self, row: int) -> DataError:
        part = int(np.searchsorted(self._starts, row, side="right")) - 1
        inside = row - int(self._starts[part])
        why = "expected finite numbers that float32 holds, found NaN, infinity or more"
        return DataError(f"{self.parts[part].name}: row {inside}: {why}")


class _Filling:
    """A block being filled. A single piece is handed on as it is, a mapped file's rows without a copy.

    Several pieces are copied as they come: a reader whose buffers go back to it at once uses them again, which made
    parquet twice as fast as joining the pieces at the end.
    bad: the first row that is not finite, looked for as the rows come: they are in the processor's cache then.
    """

    def __init__(self, size: int, dim: int) -> None:
        self.size, self._dim, self._count = size, dim, 0
        self.bad: int | None = None
        self._whole: NDArray[np.floating] | None = None
        self._copied_ND: NDArray[np.float32] | None = None
        self.ids: list[str] | None = []

    @property
    def is_full(self) -> bool:
        return self._count == self.size

    def add(self, piece_ND: NDArray[np.floating], names: list[str] | None) -> int:
        """Take as many rows of the piece as fit; returns how many."""
        piece_ND = piece_ND[: self.size - self._count]
        if names is None or self.ids is None:
            self.ids = None
        else:
            self.ids += names[: len(piece_ND)]
        if len(piece_ND) == self.size:
            self._whole = piece_ND
        else:
            if self._copied_ND is None:
                self._copied_ND = np.empty((self.size, self._dim), np.float32)
            copy_ND = self._copied_ND[self._count : self._count + len(piece_ND)]
            with np.errstate(over="ignore"):
                copy_ND[:] = piece_ND
            self._look_at(copy_ND, self._count)
        self._count += len(piece_ND)
        return len(piece_ND)

    def vectors(self) -> NDArray[np.float32]:
        """float32 [size, D], C-contiguous."""
        if self._copied_ND is not None:
            return self._copied_ND
        with np.errstate(over="ignore"):
            whole_ND = np.ascontiguousarray(self._whole, dtype=np.float32)
        self._look_at(whole_ND, 0)
        return whole_ND

    def _look_at(self, rows_ND: NDArray[np.float32], first: int) -> None:
        if self.bad is None and (bad := _not_finite(rows_ND)) is not None:
            self.bad = first + bad


class _FiniteRows:
    """A place that takes finite rows alone; they are looked at while they are still in the processor's cache."""

    def __init__(self, out: Place, refuse: Callable[[int], DataError]) -> None:
        self._out, self._refuse = out, refuse

    def __setitem__(self, at_n: NDArray[np.int64], rows_nD: NDArray[np.floating]) -> None:
        with np.errstate(over="ignore"):  # looked for here
            rows_nD = np.asarray(rows_nD, np.float32)
        bad = _not_finite(rows_nD)
        if bad is not None:
            raise self._refuse(int(at_n[bad]))
        self._out[at_n] = rows_nD


def _not_finite(x_ND: NDArray[np.float32]) -> int | None:
    """First row with NaN or infinity. The sum finds them in one pass; a sum that overflows is looked at row by row."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(x_ND.sum()):
            return None
    bad = np.flatnonzero(~np.isfinite(x_ND).all(axis=1))
    return int(bad[0]) if len(bad) else None
