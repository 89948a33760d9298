"""From rows of an index to the ids of its documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl.errors import DataError
from irctl.pipelines.search.opened_index import Searched
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.data.collections.collection import Collection


class Documents:
    """Document ids of rows: the index's own, the collection's where it has none, or row numbers."""

    def __init__(self, searched: Searched, collection: Collection | None, reporter: Reporter) -> None:
        self._ids = own_ids(searched)
        self._count = searched.rows
        if self._ids is None and collection is not None:
            if searched.rows != len(collection.corpus):
                raise DataError(
                    f"{searched.folder}: {searched.rows} rows without ids, {collection.name} has "
                    f"{len(collection.corpus)} documents",
                    hint="Search with query vectors (--queries), or compress vectors that have ids",
                )
            if not searched.about.get("corpus"):
                reporter.warn(f"the rows have no ids: they are taken as the documents of {collection.name}, in order")
            self._ids = collection.corpus.ids

    def of(self, rows_k: NDArray[np.int64]) -> list[str]:
        if self._ids is None:
            return [str(r) for r in rows_k.tolist()]
        return [str(self._ids[int(r)]) for r in rows_k]

    def rows(self, names: set[str]) -> dict[str, int]:
        """The row of each of these documents that is there."""
        if self._ids is None:
            return {n: int(n) for n in names if n.isdecimal() and int(n) < self._count}
        return {str(name): row for row, name in enumerate(self._ids) if name in names}


def own_ids(searched: Searched) -> Any:
    """Ids of the rows by number, of codes or vectors that have some; None where rows are all there is."""
    if searched.bundle is not None:
        return None if searched.bundle.ids.are_rows else searched.bundle.ids
    stream = searched.stream
    return stream.document_ids() if stream and hasattr(stream, "document_ids") else None
