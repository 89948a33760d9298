"""Ids of a bundle and of the rows appended to it: no id may occur twice.

Dimension key: N rows of the bundle, n rows of a block, D vector width.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from irctl.errors import DataError
from irctl.index.bundle import Bundle, BundleIds
from irctl.index.distinct_ids import hash_ids
from irctl.models.transforms.stream import TransformedStream
from irctl.types import Stream, VectorBlock

_LOOKED_AT = 1 << 16  # ids checked at once


class DistinctIds:
    """A stream whose document ids are checked against those of a bundle and against each other.

    fingerprint: of the rows as they lie on disk, also where a transform changes them.
    """

    def __init__(self, inner: Stream, bundle: Bundle) -> None:
        self._inner, self._bundle = inner, bundle
        raw = inner.raw if isinstance(inner, TransformedStream) else inner
        self.rows, self.dim, self.fingerprint = inner.rows, inner.dim, raw.fingerprint
        self.files = getattr(inner, "files", ())
        self._seen: set[str] = set()
        self._order_N: NDArray[np.int64] | None = None

    def take(self, rows_N: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._inner.take(rows_N)

    def remember(self, ids: BundleIds) -> None:
        """Ids of batches that an earlier attempt has finished."""
        if not ids.are_rows:
            self._seen.update(ids)

    def look_ahead(self) -> None:
        """Check every id that is to come before anything is encoded, without reading vectors."""
        ids = self._inner.document_ids() if hasattr(self._inner, "document_ids") else None
        if ids is None:
            return
        names = iter(ids)
        for start in range(0, self.rows, _LOOKED_AT):
            some = list(islice(names, _LOOKED_AT))
            self._check(VectorBlock(start, some, np.empty((len(some), 0), np.float32)))
        self._seen.clear()

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[VectorBlock]:
        for block in self._inner.blocks(size, start, stop):
            self._check(block)
            yield block

    def _check(self, block: VectorBlock) -> None:
        numbered = self._bundle.ids.are_rows
        if (block.ids is None) != numbered:
            has, have = ("no ids", "ids") if numbered else ("ids", "none")
            raise DataError(
                f"--append: the bundle's documents have {has}, the new rows have {have}",
                hint="Give both ids or neither",
            )
        if block.ids is None:
            return
        known = self._find_known(hash_ids(block.ids, len(block.ids)))
        for number, document in enumerate(block.ids):
            if document in self._seen or (known[number] and self._is_in_bundle(document)):
                raise DataError(
                    f"--append: row {block.start + number}: document '{document}' is in the bundle already",
                    hint="Leave out what is there; a document is never replaced",
                )
            self._seen.add(document)

    def _find_known(self, wanted_n: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these hashes the bundle's ids have. Its hashes are kept, not its ids: 8 bytes a document."""
        if self._order_N is None:
            hashes_N = hash_ids(self._bundle.ids, self._bundle.rows)
            self._order_N = np.argsort(hashes_N, kind="stable")
            self._hashes_N = hashes_N[self._order_N]
        at = np.minimum(np.searchsorted(self._hashes_N, wanted_n), max(len(self._hashes_N) - 1, 0))
        is_known: NDArray[np.bool_] = self._hashes_N[at] == wanted_n
        return is_known

    def _is_in_bundle(self, document: str) -> bool:
        """Whether one of the rows with this hash is this very document."""
        assert self._order_N is not None
        (value,) = hash_ids([document], 1)
        first = int(np.searchsorted(self._hashes_N, value, side="left"))
        last = int(np.searchsorted(self._hashes_N, value, side="right"))
        return any(self._bundle.ids[int(row)] == document for row in self._order_N[first:last])
