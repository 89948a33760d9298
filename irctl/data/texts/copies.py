"""Which passages have the very same text: a passage is its text, not its id.

One pass over a corpus, kept in the cache as mapped arrays of 16 bytes a passage (24 from 2^31 on), shared by every
process.
Dimension key: N passages of a pool, M rows asked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.data.files import made_once
from irctl.data.texts.corpus import join_title
from irctl.data.texts.id_map import hash_text
from irctl.data.texts.store import CHUNK, TextPool

FORMAT = 1
ARRAYS = ("hash", "row", "first")


class Copies:
    """first_N: for each passage the first one with its text, itself where there is none before it."""

    def __init__(self, folder: Path) -> None:
        # as plain arrays over the same mapped bytes, as in QrelsStore
        hash_N, row_N, first_N = (np.asarray(np.load(folder / f"{n}.npy", mmap_mode="r")) for n in ARRAYS)
        self._hash_N: NDArray[np.uint64] = hash_N  # sorted, with the row of each
        self._row_N: NDArray[np.integer] = row_N
        self.first_N: NDArray[np.integer] = first_N
        self.count: int = made_once.read_manifest(folder)["copies"]  # passages whose text an earlier one has

    def first(self, rows_M: NDArray[np.integer]) -> NDArray[np.int64]:
        """What stands for the text of each of these rows [M]; padding (-1) stays."""
        if not self.count:
            return rows_M.astype(np.int64)
        first_M: NDArray[np.int64] = np.where(rows_M < 0, rows_M, self.first_N[rows_M]).astype(np.int64)
        return first_M

    def rows_of(self, text: str) -> list[int]:
        """Passages of this very text, ascending; none for an empty text."""
        if not text:
            return []
        wanted = np.uint64(hash_text(text))
        low, high = (int(np.searchsorted(self._hash_N, wanted, side=s)) for s in ("left", "right"))
        rows: list[int] = self._row_N[low:high].tolist()
        return rows


def open_copies(pool: TextPool, title_join: str = "space") -> Copies:
    """The copies among the passages of a pool as a model reads them, found once for texts of this content.

    64 bits of a hash decide: among 53 million passages two texts share one with a probability of 1e-4. Passages
    without text are no copies of each other.
    """
    titled = any(s.has_titles for s in pool.stores)
    parts = {"texts": [s.fingerprint for s in pool.stores], "join": title_join if titled else "", "format": FORMAT}
    return Copies(made_once.make_once("copies", made_once.key_of(parts), lambda f: _write(f, pool, title_join)))


def _passages(pool: TextPool, title_join: str) -> Iterator[str]:
    for store in pool.stores:
        for start in range(0, len(store), CHUNK):
            rows = slice(start, start + CHUNK)
            titles = store.column("title", rows) if store.has_titles else None
            for i, text in enumerate(store.column("text", rows)):
                yield join_title(titles[i] if titles else "", text, title_join)


def _write(folder: Path, pool: TextPool, title_join: str) -> dict[str, Any]:
    hashes, empty = array("Q"), array("q")
    for row, text in enumerate(_passages(pool, title_join)):
        hashes.append(hash_text(text))
        if not text:
            empty.append(row)
    hashes_N = np.frombuffer(hashes, np.uint64) if hashes else np.zeros(0, np.uint64)
    row_N = np.argsort(hashes_N, kind="stable").astype(np.int32 if len(hashes_N) < 2**31 else np.int64)
    sorted_N = hashes_N[row_N]
    is_first_N = np.r_[True, sorted_N[1:] != sorted_N[:-1]][: len(sorted_N)]
    first_N = np.empty_like(row_N)
    # stable: of equal hashes the lowest row comes first
    first_N[row_N] = row_N[np.maximum.accumulate(np.where(is_first_N, np.arange(len(row_N)), 0))]
    rows = np.frombuffer(empty, np.int64) if empty else np.zeros(0, np.int64)
    first_N[rows] = rows
    for name, values in zip(ARRAYS, (sorted_N, row_N, first_N), strict=True):
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
    return {"copies": int((first_N != np.arange(len(first_N))).sum())}
