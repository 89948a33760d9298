"""Whether document ids are distinct, by 64-bit hashes: 16 bytes a row at most, never all ids in memory.

Dimension key: N rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Known(Protocol):
    """Ids by row: of a bundle, or of vectors."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[str]: ...
    def __getitem__(self, row: int, /) -> str: ...


_SUSPECTS = 100_000  # hashes looked at more closely at once; more than one is either a repetition or very bad luck
_BLOCK = 1 << 20


def hash_ids(ids: Iterable[str], count: int) -> NDArray[np.int64]:
    """A hash of every id, the same within this process only."""
    return np.fromiter((hash(i) for i in ids), np.int64, count)


def find_repeated(ids: Known, rows: int | None = None) -> tuple[str, int, int] | None:
    """(id, row, row) of an id that stands in two of the first `rows`; None if all are distinct.

    Equal hashes are looked up.
    """
    count = len(ids) if rows is None else rows
    hashes_N = hash_ids(islice(iter(ids), count), count)
    sorted_N = np.sort(hashes_N)
    suspects = np.unique(sorted_N[1:][sorted_N[1:] == sorted_N[:-1]])
    del sorted_N
    for start in range(0, len(suspects), _SUSPECTS):
        if found := _find_same(ids, hashes_N, suspects[start : start + _SUSPECTS]):
            return found
    return None


def _find_same(ids: Known, hashes_N: NDArray[np.int64], suspects: NDArray[np.int64]) -> tuple[str, int, int] | None:
    """The first row whose id stands in an earlier one, among rows with these hashes (sorted)."""
    seen: dict[str, int] = {}
    for start in range(0, len(hashes_N), _BLOCK):
        block_N = hashes_N[start : start + _BLOCK]
        at = np.minimum(np.searchsorted(suspects, block_N), len(suspects) - 1)
        for row in (start + np.flatnonzero(suspects[at] == block_N)).tolist():
            document = ids[row]
            if document in seen:
                return document, seen[document], row
            seen[document] = row
    return None
