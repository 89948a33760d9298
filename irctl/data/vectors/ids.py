"""The ids of a part of vectors: in an Arrow file, in a list, or row numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from irctl.data.files.arrow import reading
from irctl.errors import DataError
from irctl.ledger import stored

ID_BLOCK = 1 << 16
"""Ids made into strings at once."""

ID_SAMPLE = 1000
"""Ids looked at to guess their width."""

ID_OFFSET = 4
"""Bytes that Arrow keeps for each text beside it."""


class VectorIds(Protocol):
    """Ids by row. name: the file they lie in."""

    name: str

    def __len__(self) -> int: ...
    def span(self, start: int, stop: int) -> list[str]: ...


def id_texts(column: Any, name: str, first_row: int, where: str = "") -> list[str]:
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
        self._path, self._sha256, self._is_checked = path, sha256, False

    def __len__(self) -> int:
        return len(self._column)

    def span(self, start: int, stop: int) -> list[str]:
        if not self._is_checked:  # a search asks for ids one by one, millions of times
            stored.check(self._path, self._sha256)
            self._is_checked = True
        return id_texts(self._column.slice(start, stop - start), self.name, start)


class ListedIds:
    """Ids in memory, one a line of a text file."""

    def __init__(self, ids: Sequence[str], name: str) -> None:
        self._ids, self.name = ids, name

    def __len__(self) -> int:
        return len(self._ids)

    def span(self, start: int, stop: int) -> list[str]:
        return list(self._ids[start:stop])
