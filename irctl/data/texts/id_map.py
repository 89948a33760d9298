"""From a string id to its row: sorted 64-bit hashes with their rows, memory-mapped, checked on the string itself.

Twelve to sixteen bytes an id, shared by every process that maps the files; a dict would cost about 120 in each.
Dimension key: N ids of the store, M ids asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HASHES = "id_hash.npy"
ROWS = "id_row.npy"


def hash_text(text: str) -> int:
    """64 bits of BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def write_id_map(folder: Path, hashes: Sequence[int]) -> list[tuple[int, int]]:
    """Write the two arrays; hashes in row order. Returns pairs of rows with equal hashes: same id, or a collision."""
    hashes_N = np.asarray(hashes, dtype=np.uint64)
    order_N = np.argsort(hashes_N, kind="stable")
    sorted_N = hashes_N[order_N]
    np.save(folder / HASHES, sorted_N, allow_pickle=False)
    small = len(hashes_N) < 2**31
    np.save(folder / ROWS, order_N.astype(np.int32 if small else np.int64), allow_pickle=False)
    equal = np.flatnonzero(sorted_N[1:] == sorted_N[:-1])
    return [(int(order_N[i]), int(order_N[i + 1])) for i in equal]


class IdMap:
    """Rows by id. `ids_at(rows)` gives the strings at some rows, to check a hash that matched."""

    def __init__(self, folder: Path, ids_at: Callable[[NDArray[np.int64]], Sequence[str]]) -> None:
        self._hash_N: NDArray[np.uint64] = np.load(folder / HASHES, mmap_mode="r")
        self._row_N: NDArray[np.integer] = np.load(folder / ROWS, mmap_mode="r")
        self._ids_at = ids_at

    def rows(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """Row of each id [M], -1 where there is none."""
        wanted = list(ids)
        hashes_M = np.fromiter(map(hash_text, wanted), np.uint64, len(wanted))
        place_M = np.searchsorted(self._hash_N, hashes_M)
        found_M = np.full(len(wanted), -1, dtype=np.int64)
        open_M = np.arange(len(wanted))
        while len(open_M):  # more than one round only where two ids share a hash
            open_M = open_M[place_M[open_M] < len(self._hash_N)]
            open_M = open_M[self._hash_N[place_M[open_M]] == hashes_M[open_M]]
            rows = self._row_N[place_M[open_M]].astype(np.int64)
            same = np.array([a == wanted[i] for a, i in zip(self._ids_at(rows), open_M, strict=True)], dtype=bool)
            found_M[open_M[same]] = rows[same]
            open_M = open_M[~same]
            place_M[open_M] += 1
        return found_M
