"""Product codes out of a faiss file: IndexPQ, a linear transform before it, or one inverted list around it.

A faiss file is data that faiss parses; nothing of it runs. With one list (OPQ..,IVF1,PQ..) codes are of what is left
beside the list's centroid: it is added to every centroid, slice by slice, and is zero from then on.
Dimension key: N rows, C code bytes, D dimensions, E rotated dimensions, M slices, K centroids a slice, d = E / M.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from irctl.errors import DataError

ENDINGS = (".faiss", ".index")
KNOWN = "Known: IndexPQ, OPQ or another rotation before it, IVF1 around it"


class ProductCodes(NamedTuple):
    """rotation: None where vectors are coded as they are. codes: row i is the row that faiss calls i."""

    rotation_ED: NDArray[np.float32] | None
    centroids_MKd: NDArray[np.float32]
    codes_NC: NDArray[np.uint8]
    metric: str


def read_product_codes(path: Path) -> ProductCodes:
    """What the file holds. Raises DataError for a file that faiss cannot read, and for any other kind of index."""
    import faiss

    try:
        outer = faiss.read_index(str(path))
    except RuntimeError as e:
        raise DataError(f"{path}: not a file of faiss ({str(e).strip().splitlines()[0][:120]})") from e
    rotation_ED, inner = _take_rotation(path, outer)
    if isinstance(inner, faiss.IndexIVFPQ):
        centroids_MKd, codes_NC = _read_list(path, inner)
    elif isinstance(inner, faiss.IndexPQ):
        centroids_MKd = _read_centroids(inner.pq)
        codes_NC = faiss.vector_to_array(inner.codes).reshape(inner.ntotal, inner.pq.code_size)
    else:
        raise DataError(f"{path}: holds {type(inner).__name__}, not product codes", hint=KNOWN)
    metric = {faiss.METRIC_INNER_PRODUCT: "ip", faiss.METRIC_L2: "l2"}.get(inner.metric_type)
    if metric is None:
        raise DataError(f"{path}: its metric is number {inner.metric_type} of faiss, expected inner product or L2")
    return ProductCodes(rotation_ED, centroids_MKd, codes_NC, metric)


def _take_rotation(path: Path, outer: Any) -> tuple[NDArray[np.float32] | None, Any]:
    """(the matrix before the codes, the index behind it)."""
    import faiss

    if not isinstance(outer, faiss.IndexPreTransform):
        return None, outer
    chain: Any = outer.chain
    names = [type(faiss.downcast_VectorTransform(chain.at(i))).__name__ for i in range(chain.size())]
    first: Any = faiss.downcast_VectorTransform(chain.at(0))
    if len(names) != 1 or not isinstance(first, faiss.LinearTransform):
        raise DataError(f"{path}: transforms vectors by {', '.join(names)}, expected one rotation", hint=KNOWN)
    if first.have_bias and np.any(faiss.vector_to_array(first.b)):
        raise DataError(f"{path}: its transform adds a vector, so it is no rotation", hint=KNOWN)
    rotation_ED = faiss.vector_to_array(first.A).reshape(first.d_out, first.d_in).copy()
    return rotation_ED, faiss.downcast_index(outer.index)


def _read_centroids(pq: Any) -> NDArray[np.float32]:
    import faiss

    centroids_MKd: NDArray[np.float32] = faiss.vector_to_array(pq.centroids).reshape(pq.M, pq.ksub, pq.dsub).copy()
    return centroids_MKd


def _read_list(path: Path, inner: Any) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """(centroids, with the list's own added; codes by the number of their row) of an index with one list."""
    import faiss

    if inner.nlist != 1:
        raise DataError(f"{path}: has {inner.nlist} inverted lists, expected one", hint=KNOWN)
    centroids_MKd, rows = _read_centroids(inner.pq), int(inner.ntotal)
    if inner.by_residual:
        center_E = faiss.downcast_index(inner.quantizer).reconstruct(0)
        centroids_MKd += center_E.reshape(len(centroids_MKd), 1, -1)
    size = inner.pq.code_size
    lists = inner.invlists
    ids_N = faiss.rev_swig_ptr(lists.get_ids(0), rows).copy() if rows else np.empty(0, np.int64)
    if not np.array_equal(np.sort(ids_N), np.arange(rows)):
        raise DataError(f"{path}: expected rows 0 to {rows - 1} in its list, found other numbers", hint=KNOWN)
    listed_NC = faiss.rev_swig_ptr(lists.get_codes(0), rows * size).reshape(rows, size) if rows else ids_N
    codes_NC = np.empty((rows, size), np.uint8)
    codes_NC[ids_N] = listed_NC.reshape(rows, size)
    return centroids_MKd, codes_NC
