"""Texts on disk: an Arrow file that is memory-mapped, so a corpus costs no private memory and is shared by processes.

Rows are integers inside irctl; ids are strings at its edges.
Dimension key: N rows of a store, M ids asked for.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from irctl import files, hashing
from irctl.data.files import made_once
from irctl.data.files.lines import suffix
from irctl.data.texts import id_map
from irctl.data.texts.arrow_strings import Strings
from irctl.data.texts.records import READER_VERSION, TextRecord, read_texts
from irctl.errors import DataError

FILE = "texts.arrow"
CHUNK = 4096
"""Rows of one Arrow batch: row // CHUNK is the batch, so a random row needs no search."""
FORMAT = 1
LENGTHS = struct.Struct("<3Q")  # before the bytes, so that no two records hash alike

SomeRows = slice | Sequence[int] | NDArray[np.integer]


class TextStore:
    """Ids, titles and texts of one file, mapped. `fingerprint`: sha256 of ids, titles and texts in order."""

    def __init__(self, folder: Path, source: str = "") -> None:
        import pyarrow as pa

        about = made_once.read_manifest(folder)
        self.folder = folder
        self.rows: int = about["rows"]
        self.fingerprint: str = about["fingerprint"]
        self.namespace: str = about["namespace"]
        self.has_titles: bool = about["has_titles"]
        self.source: str = source or about["source"]  # for messages
        with pa.memory_map(str(folder / FILE)) as mapped:
            self._reader = pa.ipc.open_file(mapped)
            self._batches = [self._reader.get_batch(i) for i in range(self._reader.num_record_batches)]
        self._strings: dict[tuple[str, int], Strings] = {}  # by column and batch, as far as they were read
        self._map = id_map.IdMap(folder, lambda rows_N: self.column("id", rows_N))
        self.ids = TextIds(self)

    def __len__(self) -> int:
        return self.rows

    def column(self, name: str, rows: SomeRows) -> list[str]:
        """Values of one column at these rows, in the order asked. Raises IndexError for a row that is not there."""
        if isinstance(rows, slice):
            return self._span(name, *rows.indices(self.rows))
        wanted = rows.tolist() if isinstance(rows, np.ndarray) else rows
        if len(wanted) and (min(wanted) < 0 or max(wanted) >= self.rows):
            raise IndexError(f"{self.source}: rows 0 to {self.rows - 1}, asked {min(wanted)} to {max(wanted)}")
        # One string at a time beats Arrow's take: no copy, no offsets overflow, no search for the batch.
        strings, values = self._strings, []
        for row in wanted:
            chunk, place = divmod(row, CHUNK)
            decoded = strings.get((name, chunk))
            if decoded is None:
                decoded = strings[name, chunk] = Strings(self._batches[chunk].column(name))
            values.append(decoded[place])
        return values

    def _span(self, name: str, start: int, stop: int, step: int) -> list[str]:
        if step != 1:
            return self.column(name, range(start, stop, step))
        values: list[str] = []
        for chunk in range(start // CHUNK, (stop + CHUNK - 1) // CHUNK if stop > start else 0):
            first = max(start - chunk * CHUNK, 0)
            last = min(stop - chunk * CHUNK, CHUNK)
            values += self._batches[chunk].column(name).slice(first, last - first).to_pylist()
        return values

    def find(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """Row of each id, -1 where there is none."""
        return self._map.rows(ids)

    def row(self, id_: str) -> int:
        """Row of an id. Raises DataError if there is none."""
        row = int(self._map.rows([id_])[0])
        if row < 0:
            raise DataError(f"{self.source}: no id '{id_}'")
        return row


class TextIds(Sequence[str]):
    """The ids of a store as a sequence; nothing is in memory."""

    def __init__(self, store: TextStore) -> None:
        self._store = store

    def __len__(self) -> int:
        return len(self._store)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return self._store.column("id", index)
        return self._store.column("id", [index + len(self) if index < 0 else index])[0]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), CHUNK):
            yield from self._store.column("id", slice(start, start + CHUNK))

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str) and int(self._store.find([value])[0]) >= 0


class TextPool:
    """Several stores end to end: one integer names a row of any of them."""

    def __init__(self, stores: Sequence[TextStore]) -> None:
        self.stores = tuple(stores)
        self.starts = [0]
        for store in self.stores:
            self.starts.append(self.starts[-1] + len(store))

    def __len__(self) -> int:
        return self.starts[-1]

    def place(self, row: int) -> tuple[TextStore, int]:
        """The store that holds a row, and the row inside it."""
        which = bisect_right(self.starts, row) - 1
        return self.stores[which], row - self.starts[which]

    def find(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Row of each id, -1 where no store has it; the first store that has it counts."""
        found_M = np.full(len(ids), -1, dtype=np.int64)
        for start, store in zip(self.starts, self.stores, strict=False):
            open_M = np.flatnonzero(found_M < 0)
            rows = store.find([ids[i] for i in open_M.tolist()])
            found_M[open_M] = np.where(rows < 0, -1, rows + start)
        return found_M

    def column(self, name: str, rows: Sequence[int] | NDArray[np.integer]) -> list[str]:
        if len(self.stores) == 1:
            return self.stores[0].column(name, rows)
        places = [self.place(int(r)) for r in rows]
        return [store.column(name, [p])[0] for store, p in places]


def open_texts(path: Path, *, fix_encoding: bool = False) -> TextStore:
    """The store of a corpus or query file, read once and kept in the cache by the file's content.

    Raises DataError with file:line for what is malformed, an id that occurs twice included.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    files.is_input(path)
    sha256 = hashing.sha256_file(path)
    key = made_once.key_of(
        {"file": sha256, "ending": suffix(path), "reader": READER_VERSION, "format": FORMAT}
        | ({"fix_encoding": True} if fix_encoding else {})
        | ({"columns": 2} if path.name.startswith(("collection", "queries")) else {})
    )

    def records() -> Iterator[TextRecord]:
        return read_texts(path, fix_encoding=fix_encoding)

    folder = made_once.make_once("corpora", key, lambda work: write_store(work, records, sha256, str(path)))
    return TextStore(folder, str(path))


def write_store(
    folder: Path, records: Callable[[], Iterable[TextRecord]], namespace: str, source: str
) -> dict[str, Any]:
    """Write texts and id map of `records()` into a folder; returns the manifest. Memory: 8 bytes a record."""
    import pyarrow as pa

    schema = pa.schema([("id", pa.large_string()), ("title", pa.large_string()), ("text", pa.large_string())])
    content = hashlib.sha256()
    hashes = array("Q")
    has_titles = False
    ids: list[str] = []
    titles: list[str] = []
    texts: list[str] = []
    with pa.OSFile(str(folder / FILE), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:

        def flush() -> None:
            columns = (ids, titles, texts)
            writer.write_batch(pa.record_batch([pa.array(c, pa.large_string()) for c in columns], schema=schema))
            for column in columns:
                column.clear()

        for line, id_, title, text in records():
            has_titles = has_titles or bool(title)
            try:
                hashes.append(id_map.hash_text(id_))
                fields = id_.encode(), title.encode(), text.encode()
                content.update(LENGTHS.pack(*map(len, fields)) + b"".join(fields))
            except UnicodeEncodeError as e:
                raise DataError(
                    f"{source}:{line}: expected Unicode text, found a lone surrogate ({e.reason})"
                ) from None
            ids.append(id_)
            titles.append(title)
            texts.append(text)
            if len(ids) == CHUNK:
                flush()
        if ids:
            flush()
    for earlier, later in id_map.write_id_map(folder, hashes):
        _refuse_duplicate(records, source, earlier, later)
    return {
        "rows": len(hashes),
        "fingerprint": content.hexdigest(),
        "namespace": namespace,
        "has_titles": has_titles,
        "source": source,
        "format": FORMAT,
    }


def _refuse_duplicate(records: Callable[[], Iterable[TextRecord]], source: str, earlier: int, later: int) -> None:
    at = {row: r for row, r in enumerate(records()) if row in (earlier, later)}
    if at[earlier].id == at[later].id:
        raise DataError(
            f"{source}:{at[later].line}: id '{at[later].id}' occurs twice, first in line {at[earlier].line}"
        )
