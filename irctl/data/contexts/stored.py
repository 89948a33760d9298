"""The rows of a file as token ids on disk: made once a file, tokenizer and wording, then mapped into memory.

Training processes and their loader workers read rows by number; nothing is tokenised while a model trains.
Dimension key: N rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from irctl.data.contexts.split import Split
from irctl.data.files import made_once
from irctl.errors import DataError

VERSION = 1
"""Of the split into tokens: part of every key."""
KIND = "contexts"
PARTS = 4  # head, context, tail, answer
ARRAYS = ("ids", "bounds", "row_ids", "groups", "lines")
BLOCK = 1 << 22  # token ids that are written at once


class IdentifiedRow(Protocol):
    """What is kept of a row beside its ids: hashes of the row and of its group, and its line."""

    @property
    def id(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def line(self) -> int: ...


@dataclass(frozen=True)
class StoredRows:
    """row_ids_N: hashes of content. groups_N: of the context alone. lines_N: where a row begins in its file.
    bounds_NP: ends of the four parts of each row in ids; the first row begins at 0.
    """

    dataset: str
    fingerprint: str
    ids: NDArray[np.int32]
    bounds_NP: NDArray[np.int64]
    row_ids_N: NDArray[np.uint64]
    groups_N: NDArray[np.uint64]
    lines_N: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.bounds_NP)

    @property
    def lengths_N(self) -> NDArray[np.int64]:
        """Tokens of each row, its answer counted."""
        ends_N = self.bounds_NP[:, -1]
        return np.diff(ends_N, prepend=0)

    def split(self, row: int) -> Split:
        """The token ids of a row."""
        start = int(self.bounds_NP[row - 1, -1]) if row else 0
        edges = [start, *self.bounds_NP[row].tolist()]
        head, context, tail, answer = (tuple(self.ids[a:b].tolist()) for a, b in pairwise(edges))
        return Split(head, context, tail, answer)


def find_stored(key: dict[str, Any]) -> bool:
    """Whether `store` would find the rows of this key."""
    return made_once.find_made(KIND, made_once.key_of({**key, "version": VERSION})) is not None


def store(key: dict[str, Any], dataset: str, rows: Callable[[], Iterator[tuple[IdentifiedRow, Split]]]) -> StoredRows:
    """The rows on disk, made if they are not there. key: what they are made of. DataError where there is none."""
    place = made_once.make_once(KIND, made_once.key_of({**key, "version": VERSION}), lambda work: _write(work, rows()))
    about = made_once.read_manifest(place)
    if not about["rows"]:
        raise DataError(f"{dataset}: has no rows")
    arrays = {name: np.load(place / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
    return StoredRows(dataset, place.name, *(arrays[name] for name in ARRAYS))


def _write(folder: Path, rows: Iterator[tuple[IdentifiedRow, Split]]) -> dict[str, Any]:
    bounds: list[list[int]] = []
    row_ids: list[int] = []
    groups: list[int] = []
    lines: list[int] = []
    pending: list[int] = []
    end = 0
    raw = folder / "ids.raw"
    with raw.open("wb") as file:
        for row, split in rows:
            ends = []
            for part in (split.head, split.context, split.tail, split.answer):
                pending += part
                end += len(part)
                ends.append(end)
            bounds.append(ends)
            row_ids.append(int(row.id, 16))
            groups.append(int(row.group, 16))
            lines.append(row.line)
            if len(pending) >= BLOCK:
                file.write(np.array(pending, dtype=np.int32).tobytes())
                pending.clear()
        file.write(np.array(pending, dtype=np.int32).tobytes())
    _as_npy(raw, folder / "ids.npy", end)
    np.save(folder / "bounds.npy", np.array(bounds, dtype=np.int64).reshape(-1, PARTS))
    np.save(folder / "row_ids.npy", np.array(row_ids, dtype=np.uint64))
    np.save(folder / "groups.npy", np.array(groups, dtype=np.uint64))
    np.save(folder / "lines.npy", np.array(lines, dtype=np.int64))
    return {"rows": len(bounds), "tokens": end}


def _as_npy(raw: Path, target: Path, count: int) -> None:
    """Raw int32 numbers as an array file, copied by block."""
    array = np.lib.format.open_memmap(target, mode="w+", dtype=np.int32, shape=(count,))
    with raw.open("rb") as file:
        at = 0
        while block := file.read(4 * BLOCK):
            numbers = np.frombuffer(block, np.int32)
            array[at : at + len(numbers)] = numbers
            at += len(numbers)
    array.flush()
    raw.unlink()
