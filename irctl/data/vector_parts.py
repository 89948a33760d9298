"""Files of vectors, one part each: what is read of them, checked, and handed over as float32 rows.

Dimension key: N rows, D vector width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from irctl.data.arrow_files import batches, open_parquet, reading
from irctl.errors import DataError
from irctl.ledger import stored

BATCH = 1000
"""Rows of one parquet read: larger batches were slower (a batch fits the cache)."""
BUFFER = 1 << 20
"""Bytes of a parquet column read at once: pyarrow's default is all that is asked for, a whole file of vectors."""
ID_BLOCK = 1 << 16
"""Ids made into strings at once."""
ID_SAMPLE = 1000
"""Ids looked at to guess their width."""
ID_OFFSET = 4
"""Bytes that Arrow keeps for each text beside it."""
ID_NAMES = ("docid", "_id", "id", "passage_id", "doc_id")

Piece = tuple[NDArray[np.floating], list[str] | None]


class Ids(Protocol):
    """Ids by row. name: the file they lie in."""

    name: str

    def __len__(self) -> int: ...
    def span(self, start: int, stop: int) -> list[str]: ...


class Part(Protocol):
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


class NpyPart:
    """A .npy file, memory-mapped: 2-D, C order, float16 or float32.

    sha256: of the whole file, where it is known: checked before the first row is read, with `samples` also for take.
    """

    def __init__(
        self, path: Path, ids: Ids | None = None, first_id: int = 0, sha256: str = "", *, samples: bool = True
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


class ParquetPart:
    """A parquet file with a column of lists of float16, 32 or 64. `open_file` gives a path or a file object.

    Its ids are those of a column, or `ids` from first_id on. Raises DataError where it would have both.
    """

    def __init__(
        self,
        name: str,
        open_file: Callable[[], Any],
        column: str = "",
        id_column: str = "",
        ids: Ids | None = None,
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
        return batches(self._file, self.name, rows, columns=columns, row_groups=groups, use_threads=False)

    def _ids_of(self, rows: Any, first_row: int) -> list[str] | None:
        if self._id_column:
            return texts(rows.column(self._id_column), self.name, first_row, f" in column {self._id_column}")
        if self._ids is None:
            return None
        return self._ids.span(self._first_id + first_row, self._first_id + first_row + len(rows))

    def id_span(self, start: int, stop: int) -> list[str]:
        """Row groups whose ids were asked for stay in memory, as Arrow."""
        if self._ids is not None:
            return self._ids.span(self._first_id + start, self._first_id + stop)
        found: list[str] = []
        while start < stop:
            group = int(np.searchsorted(self._starts, start, side="right")) - 1
            if group not in self._known:
                with reading(self.name):
                    # with threads, Arrow's pool would decode the vectors too, and their CPU time not be the reader's
                    table = self._file.read_row_group(group, [self._id_column], use_threads=False)
                    self._known[group] = table.column(0)
            first = int(self._starts[group])
            some = self._known[group].slice(start - first, stop - start)
            found += texts(some, self.name, start, f" in column {self._id_column}")
            start += len(some)
        return found

    def forget_ids(self) -> None:
        """Give back the memory of ids that were asked for."""
        self._known.clear()

    def take(self, rows_N: NDArray[np.int64], out_ND: NDArray[np.float32], at_N: NDArray[np.int64]) -> None:
        group_N = np.searchsorted(self._starts, rows_N, side="right") - 1
        for group in np.unique(group_N).tolist():
            mine = np.flatnonzero(group_N == group)
            start, last = int(self._starts[group]), int(rows_N[mine].max())
            for batch in self._batches([self._column], [group]):
                here = mine[(rows_N[mine] >= start) & (rows_N[mine] < start + len(batch))]
                if len(here):
                    out_ND[at_N[here]] = self._vectors(batch.column(0), start)[rows_N[here] - start]
                start += len(batch)
                if start > last:
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

    def is_vector(kind: Any) -> bool:
        lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        return bool(lists and pa.types.is_floating(kind.value_type))

    found = [field.name for field in schema if is_vector(field.type)]
    if wanted in found:
        return wanted
    if wanted or len(found) != 1:
        shown = ", ".join(f"{field.name} {field.type}" for field in schema)
        raise DataError(
            f"{name}: expected {wanted or 'one column of float lists'}, found {shown}",
            hint=f"Name one of them: --data SOURCE#{found[-1]}" if found else "",
        )
    return str(found[0])


def _id_column(name: str, schema: Any, wanted: str) -> str:
    if wanted and wanted not in schema.names:
        raise DataError(f"{name}: no column {wanted}; there are {', '.join(schema.names)}")
    return wanted or next((n for n in ID_NAMES if n in schema.names), "")


def texts(column: Any, name: str, first_row: int, where: str = "") -> list[str]:
    """The ids of an Arrow column whose first is that of row first_row. DataError for a row without one."""
    if column.null_count:
        nulls = column.is_null().to_numpy(**({} if hasattr(column, "chunks") else {"zero_copy_only": False}))
        raise DataError(f"{name}: row {first_row + int(np.argmax(nulls))}: expected an id{where}, found null")
    with reading(name):
        return list(map(str, column.to_pylist()))


class ArrowIds:
    """Ids of an Arrow file with one text column, memory-mapped. sha256: checked before the first id is read."""

    def __init__(self, path: Path, sha256: str = "") -> None:
        import pyarrow as pa

        self.name = str(path)
        with reading(self.name, "not an Arrow file with a column of ids"):
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
            self._column = table.column("docid" if "docid" in table.column_names else 0)
        self._path, self._sha256 = path, sha256

    def __len__(self) -> int:
        return len(self._column)

    def span(self, start: int, stop: int) -> list[str]:
        stored.check(self._path, self._sha256)
        return texts(self._column.slice(start, stop - start), self.name, start)


class ListedIds:
    """Ids in memory, one a line of a text file."""

    def __init__(self, ids: Sequence[str], name: str) -> None:
        self._ids, self.name = ids, name

    def __len__(self) -> int:
        return len(self._ids)

    def span(self, start: int, stop: int) -> list[str]:
        return list(self._ids[start:stop])


class StreamIds(Sequence[str]):
    """The ids of a stream's rows, one after the other; the row's number in a part without ids."""

    def __init__(self, parts: Sequence[Part]) -> None:
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
