"""A faiss file written a block of codes at a time is the file that faiss writes of the filled index."""

from __future__ import annotations

import io
from pathlib import Path

import faiss
import numpy as np
import pytest
from array_stream import vectors

from irctl.index import faiss_file

ROWS, DIM = 700, 16
FACTORIES = (
    *("Flat", "SQ8", "SQ4", "SQfp16", "PQ4x4np", "PQ4x6np", "RQ2x4", "RQ2x4_Nqint8", "LSQ2x4", "PRQ2x1x4", "SQtqmse4"),
    *("EDEN4", "OPQ4,PQ4x4np", "PCAR8,SQ4", "PCA8,L2norm,SQ8", "IVF1,SQ8", "IVF4,Flat", "IVF4,PQ4x4np", "IVF300,SQ8"),
    *("PCA8,IVF8,SQ6", "IVF4_HNSW4,SQ8", "IVF4,RQ2x4", "IVF4,EDEN4"),
)


def write(index: faiss.Index, codes: np.ndarray, block: int, folder: Path) -> bytes:
    sink, layout = io.BytesIO(), faiss_file.find_layout(index, len(codes))
    faiss_file.write(sink, folder, index, layout, lambda: (codes[a : a + block] for a in range(0, len(codes), block)))
    return sink.getvalue()


@pytest.mark.parametrize("metric", (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT))
@pytest.mark.parametrize("factory", FACTORIES)
def test_its_bytes_are_those_of_faiss(tmp_path: Path, factory: str, metric: int) -> None:
    x = vectors(ROWS, dim=DIM)
    index = faiss.index_factory(DIM, factory, metric)
    index.train(x)
    codes = index.sa_encode(x)
    if factory == "IVF300,SQ8":  # a list of two in three is empty, in another form
        codes = codes[codes[:, 0] < 100]
    for some in (codes, codes[:1], codes[:0]):
        ours = write(index, some, 300, tmp_path)
        assert index.ntotal == 0
        inner = faiss_file.innermost(index)
        if len(some):
            inner.add_sa_codes(some)
        index.ntotal = inner.ntotal
        assert ours == faiss.serialize_index(index).tobytes()
        index.reset()
    assert not list(tmp_path.iterdir())


def test_codes_that_faiss_leaves_out_of_its_file_are_refused(tmp_path: Path) -> None:
    index = faiss.index_factory(16, "ZnLattice4x4_6")
    index.train(vectors(ROWS, dim=16))
    with pytest.raises(RuntimeError, match="unknown place of the codes of IndexLattice"):
        faiss_file.find_layout(index, 3)
    assert index.ntotal == 0


def test_a_code_of_a_list_that_there_is_not_is_refused(tmp_path: Path) -> None:
    index = faiss.index_factory(DIM, "IVF4,SQ8")
    index.train(vectors(ROWS, dim=DIM))
    with pytest.raises(RuntimeError, match="a code of list 255, of 4"):
        write(index, np.full((3, index.sa_code_size()), 255, np.uint8), 2, tmp_path)
