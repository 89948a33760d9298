"""Vectors in a column of a parquet file, read in a few MiB whatever its row groups.

Dimension key: N vectors, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.data.files.arrow import open_parquet, read_batches, reading
from irctl.data.files.column_names import VECTOR_IDS
from irctl.data.vectors.ids import VectorIds, id_texts
from irctl.data.vectors.parts import Piece, Place
from irctl.errors import DataError

BATCH = 500
"""Rows of one parquet read: larger batches were slower (a batch fits the cache)."""

BUFFER = 1 << 18
"""Bytes of a parquet column read at once: pyarrow's default is all that is asked for, a whole file of vectors."""


class ParquetPart:
    """A parquet file with a column of lists of floats, int8 or uint8. `open_file` gives a path or a file object.

    Its ids are those of a column, or `ids` from first_id on. Raises DataError where it would have both.
    """

    def __init__(
        self,
        name: str,
        open_file: Callable[[], Any],
        column: str = "",
        id_column: str = "",
        ids: VectorIds | None = None,
        first_id: int = 0,
    ) -> None:
        import pyarrow as pa

        self.name = name
        self._file = open_parquet(open_file(), name, pre_buffer=False, buffer_size=BUFFER)
        schema = self._file.schema_arrow
        self._column = _vector_column(name, schema, column)
        self._id_column = _id_column(name, schema, id_column)
        if ids is not None and self._id_column:
            raise DataError(
                f"{name}: expected ids in one place, found them in its column {self._id_column} and in {ids.name}",
                hint="Move the ids file away, or drop the column",
            )
        self.has_ids = ids is not None or bool(self._id_column)
        self._ids, self._first_id = ids, first_id
        self._known: dict[int, Any] = {}  # row group -> its ids
        metadata = self._file.metadata
        self.rows = int(metadata.num_rows)
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._starts = np.r_[0, np.cumsum(sizes)].astype(np.int64)
        kind = schema.field(self._column).type
        self.dim = int(kind.list_size) if pa.types.is_fixed_size_list(kind) else self._first_width()

    def _first_width(self) -> int:
        for batch in self._batches([self._column], None, 1):
            value = batch.column(0)[0].as_py()
            if not value:
                raise DataError(f"{self.name}: row 0: expected a vector in column {self._column}, found {value}")
            return len(value)
        return 0

    def groups(self) -> list[tuple[int, int]]:
        return [(int(a), int(b)) for a, b in zip(self._starts, self._starts[1:], strict=False)]

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        if start >= stop:
            return
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        last = int(np.searchsorted(self._starts, stop, side="left"))
        columns = [self._column, *([self._id_column] if self._id_column else [])]
        at = int(self._starts[first])
        for batch in self._batches(columns, list(range(first, last))):
            low, high = max(start - at, 0), min(stop - at, len(batch))
            if low < high:
                rows = batch.slice(low, high - low)
                yield self._vectors(rows.column(self._column), at + low), self._ids_of(rows, at + low)
            at += len(batch)

    def _batches(self, columns: list[str], groups: list[int] | None, rows: int = BATCH) -> Iterator[Any]:
        return read_batches(self._file, self.name, rows, columns=columns, row_groups=groups, use_threads=False)

    def _ids_of(self, rows: Any, first_row: int) -> list[str] | None:
        if self._id_column:
            return id_texts(rows.column(self._id_column), self.name, first_row, f" in column {self._id_column}")
        if self._ids is None:
            return None
        return self._ids.span(self._first_id + first_row, self._first_id + first_row + len(rows))

    def id_span(self, start: int, stop: int) -> list[str]:
        """Row groups whose ids were asked for stay in memory, as Arrow."""
        if self._ids is not None:
            return self._ids.span(self._first_id + start, self._first_id + stop)
        ids: list[str] = []
        while start < stop:
            group = int(np.searchsorted(self._starts, start, side="right")) - 1
            if group not in self._known:
                with reading(self.name):
                    # with threads, Arrow's pool would decode the vectors too, and their CPU time not be the reader's
                    table = self._file.read_row_group(group, [self._id_column], use_threads=False)
                    self._known[group] = table.column(0)
            first = int(self._starts[group])
            some = self._known[group].slice(start - first, stop - start)
            ids += id_texts(some, self.name, start, f" in column {self._id_column}")
            start += len(some)
        return ids

    def forget_ids(self) -> None:
        """Give back the memory of ids that were asked for."""
        self._known.clear()

    def take(self, rows_N: NDArray[np.int64], out_ND: Place, at_N: NDArray[np.int64]) -> None:
        order = np.argsort(rows_N, kind="stable")
        rows_N, at_N = rows_N[order], at_N[order]
        for group in np.unique(np.searchsorted(self._starts, rows_N, side="right") - 1).tolist():
            start = int(self._starts[group])
            low, end = np.searchsorted(rows_N, self._starts[group : group + 2]).tolist()
            for batch in self._batches([self._column], [group]):
                high = int(np.searchsorted(rows_N, start + len(batch)))
                if low < high:
                    out_ND[at_N[low:high]] = self._vectors(batch.column(0), start)[rows_N[low:high] - start]
                start, low = start + len(batch), high
                if low == end:
                    break

    def _vectors(self, column: Any, first_row: int) -> NDArray[np.floating]:
        """The column as [n, D] without copying. `flatten` honours slices; `.values` would not."""
        import pyarrow.compute as pc

        if column.null_count:
            self._refuse(first_row + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False))), "null")
        widths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        if (widths != self.dim).any():
            at = int(np.argmax(widths != self.dim))
            self._refuse(first_row + at, f"{widths[at]} numbers")
        values = column.flatten()
        if values.null_count:
            at = int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
            self._refuse(first_row + at // self.dim, f"null at dimension {at % self.dim}")
        vectors: NDArray[np.floating] = values.to_numpy(zero_copy_only=False).reshape(-1, self.dim)
        return vectors

    def _refuse(self, row: int, found: str) -> None:
        raise DataError(f"{self.name}: row {row}: expected {self.dim} numbers in column {self._column}, found {found}")


def _vector_column(name: str, schema: Any, wanted: str) -> str:
    import pyarrow as pa

    def lists_of(is_number: Callable[[Any], bool]) -> list[str]:
        kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        return [f.name for f in schema if any(k(f.type) for k in kinds) and is_number(f.type.value_type)]

    floats, small = lists_of(pa.types.is_floating), lists_of(lambda kind: kind in (pa.int8(), pa.uint8()))
    if wanted in (*floats, *small):
        return wanted
    columns = floats or small  # 8-bit lists beside floats are masks and the like, unless they are named
    if wanted or len(columns) != 1:
        shown = ", ".join(f"{field.name} {field.type}" for field in schema)
        raise DataError(
            f"{name}: expected {wanted or 'one column of lists of floats or 8-bit integers'}, found {shown}",
            hint=f"Name one of them: --data SOURCE#{columns[-1]}" if columns else "",
        )
    return str(columns[0])


def _id_column(name: str, schema: Any, wanted: str) -> str:
    if wanted and wanted not in schema.names:
        raise DataError(f"{name}: no column {wanted}; there are {', '.join(schema.names)}")
    return wanted or next((n for n in VECTOR_IDS if n in schema.names), "")
