"""What a query of one positive is compared with: its positive against every other column, less all its labelled ones.

As RepCONC lists candidates, all positives of the batch and then all negatives: of equal texts the first in that order
counts. Columns themselves stay group after group, as vectors are gathered.

Dimension key: B queries that share a loss, N passages of all groups in order, R positive texts of a query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from irctl.data.groups.batch_views import KnownRows
from irctl.data.groups.candidates import Columns, Listed, ViewArrays, view_arrays
from irctl.data.groups.group_source import GroupRows


def one_positive_views(
    source: KnownRows, groups: Sequence[GroupRows], names: Sequence[str], inbatch_label: float
) -> dict[str, ViewArrays]:
    """Each named view of these groups, whose first passage is the positive.

    masked: label 1 at the row's own positive alone; out are the columns of its labelled positives, copies of its own
    positive among them, and of each text all columns but the first; the own one always stays. own, all: as they are.
    """
    listed = Listed.of(groups)
    listed = replace(listed, passage_rows_N=source.same(listed.passage_rows_N))
    return {
        name: _masked(source, listed, inbatch_label)
        if name == "masked"
        else view_arrays(listed, name, inbatch_label=inbatch_label)
        for name in names
    }


def _masked(source: KnownRows, listed: Listed, inbatch_label: float) -> ViewArrays:
    rows, columns = len(listed.query_rows_B), len(listed.passage_rows_N)
    positive_B = np.searchsorted(listed.owner_N, np.arange(rows))  # each group's first column
    is_positive_N = np.zeros(columns, np.bool_)
    is_positive_N[positive_B] = True
    order_N = np.argsort(~is_positive_N, kind="stable")
    firsts = order_N[np.unique(listed.passage_rows_N[order_N], return_index=True)[1]]
    counts_N = np.zeros(columns, np.bool_)
    counts_N[firsts] = True
    mask_BN = np.tile(counts_N & (listed.passage_rows_N >= 0), (rows, 1))
    places = Columns(listed.passage_rows_N)
    for row, query_row in enumerate(listed.query_rows_B.tolist()):
        known = source.known(query_row)
        labelled_R = np.fromiter((r for r, label in known.items() if label >= 1), np.int64)
        own = listed.passage_rows_N[positive_B[row]]
        mask_BN[row, places.of(np.union1d(source.same(labelled_R), [own]))[0]] = False
    labels_BN = np.full((rows, columns), inbatch_label, np.float32)
    labels_BN[listed.owner_N, np.arange(columns)] = listed.labels_N
    mask_BN[np.arange(rows), positive_B] = True
    return ViewArrays(labels_BN, mask_BN)
