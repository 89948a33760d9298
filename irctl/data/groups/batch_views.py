"""From the groups of a loss batch to what each query is compared with: copies are one text, known grades looked up.

Dimension key: B queries that share a loss, K passages of a group, N passages of all groups in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from irctl.data.groups.candidates import Listed, ViewArrays, view_arrays
from irctl.data.groups.group_source import GroupRows


class KnownRows(Protocol):
    """What is known of the rows of training groups."""

    def known(self, query_row: int) -> Mapping[int, float]: ...
    def same(self, rows_K: NDArray[np.integer]) -> NDArray[np.int64]: ...


ViewsOf = Callable[[KnownRows, Sequence[GroupRows], Sequence[str], float], dict[str, ViewArrays]]
"""(source, groups, names of the views, loss.inbatch_label) -> each of the views."""


def batch_views(
    source: KnownRows, groups: Sequence[GroupRows], names: Sequence[str], inbatch_label: float
) -> dict[str, ViewArrays]:
    """Each named view of these groups."""
    listed = Listed.of(groups)
    listed = replace(listed, passage_rows_N=source.same(listed.passage_rows_N))
    arrays_of = {}
    for name in names:
        known = [_known(source, int(row)) for row in listed.query_rows_B] if name == "masked" else ()
        arrays_of[name] = view_arrays(listed, name, inbatch_label=inbatch_label, known=known)
    return arrays_of


def _known(source: KnownRows, query_row: int) -> Mapping[int, float]:
    """Annotated texts of a query with their grades; of copies that are graded apart the higher one."""
    annotated = source.known(query_row)
    grades: dict[int, float] = {}
    rows = source.same(np.fromiter(annotated, np.int64, len(annotated)))
    for row, grade in zip(rows.tolist(), annotated.values(), strict=True):
        grades[row] = max(grade, grades.get(row, grade))
    return grades
