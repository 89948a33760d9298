"""Searching product codes by faiss's tables and heaps, a piece of the rows that fits the cache after the other.

faiss's IndexPQ streams all codes past each query: at 1,000,000 rows of 16 bytes, 200 queries and k = 1000 that was half
as fast as pieces of 1 MiB that all queries meet while they lie in the cache. The heaps go on from piece to piece, so k
costs what it costs in one scan; and the codes are read where they lie, not copied into an index.
Dimension key: Q queries, D dimensions, N rows, C code bytes, a results.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from irctl.index.topk import Rows, Scores

_PIECE = 1 << 20  # bytes of codes
_TABLES = 32 << 20  # bytes of tables at once: 512 queries of 64 slices of 8 bits
_WORTH = 8  # lookups for a multiplication of the tables, which each piece makes anew
_NONE = -(1 << 62)  # no row, however many are added to it


def search(index: Any, queries_QD: NDArray[np.float32], codes_NC: NDArray[np.uint8], asked: int) -> tuple[Scores, Rows]:
    """(faiss's scores, rows) [Q, a], a = min(asked, N), in the order of a heap: the worst of each query is the first.

    index: an empty trained IndexPQ. Distances for l2. Of rows that tie with the worst any may be there.
    """
    assert queries_QD.shape[1] == index.d and codes_NC.shape[1] == index.pq.code_size  # faiss reads what is there
    pq, ip = index.pq, index.metric_type == faiss.METRIC_INNER_PRODUCT
    queries_QD, asked = np.ascontiguousarray(queries_QD, np.float32), min(asked, len(codes_NC))
    values_Qa = np.full((len(queries_QD), asked), -np.inf if ip else np.inf, np.float32)
    rows_Qa = np.full(values_Qa.shape, _NONE, np.int64)
    rows = max(_PIECE // pq.code_size, _WORTH * pq.ksub * pq.dsub)
    batch = max(1, _TABLES // (4 * pq.M * pq.ksub))
    scan = pq.search_ip if ip else pq.search
    for start in range(0, len(codes_NC), rows):
        piece_nC = np.ascontiguousarray(codes_NC[start : start + rows], np.uint8)
        rows_Qa -= start and rows  # faiss numbers the rows of a piece from 0
        for q in range(0, len(queries_QD), batch):
            part_qD = queries_QD[q : q + batch]
            heaps = faiss.float_minheap_array_t() if ip else faiss.float_maxheap_array_t()
            heaps.nh, heaps.k = len(part_qD), asked
            heaps.val, heaps.ids = faiss.swig_ptr(values_Qa[q : q + batch]), faiss.swig_ptr(rows_Qa[q : q + batch])
            scan(faiss.swig_ptr(part_qD), len(part_qD), faiss.swig_ptr(piece_nC), len(piece_nC), heaps, False)
    rows_Qa += (len(codes_NC) - 1) // rows * rows
    return values_Qa, rows_Qa
