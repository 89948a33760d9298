"""Named arrays to faiss indexes and back. Files of faiss are exports only; here it trains, encodes and scans.

The metric is always explicit: faiss's own default is L2. Cosine is the inner product of rows of length 1.
Dimension key: N rows, D dimensions, M slices, K centroids a slice, d = D / M, E rotated dimensions.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from irctl.errors import ConfigError
from irctl.index.threads import count_cpus

Vectors = NDArray[np.float32]

_SQ = {4: faiss.ScalarQuantizer.QT_4bit, 6: faiss.ScalarQuantizer.QT_6bit, 8: faiss.ScalarQuantizer.QT_8bit,
       16: faiss.ScalarQuantizer.QT_fp16}  # fmt: skip


def metric_of(metric: str) -> int:
    """faiss's number for ip, cosine or l2."""
    return int(faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)


def encode(index: Any, x_ND: Vectors) -> NDArray[np.uint8]:
    """Codes [N, C] by the index."""
    if not len(x_ND):  # faiss asserts on an empty array
        return np.empty((0, index.sa_code_size()), np.uint8)
    return np.ascontiguousarray(index.sa_encode(x_ND))


def decode(index: Any, codes_NC: NDArray[np.uint8]) -> Vectors:
    """Vectors [N, D] by the index."""
    if not len(codes_NC):
        return np.empty((0, index.d), np.float32)
    return np.ascontiguousarray(index.sa_decode(np.ascontiguousarray(codes_NC)))


def train_sq(x_ND: Vectors, bits: int, clip_quantile: float) -> Vectors:
    """Range of each dimension [2 D]: lowest values, then widths.

    On one thread: faiss 1.15 finds other quantiles from run to run on two (174 of 300 trainings differed).
    """
    index = faiss.IndexScalarQuantizer(x_ND.shape[1], _SQ[bits])
    if clip_quantile:
        index.sq.rangestat = faiss.ScalarQuantizer.RS_quantiles
        index.sq.rangestat_arg = clip_quantile
    with threadpool_limits(1, user_api="openmp"):
        index.train(x_ND)
    return faiss.vector_to_array(index.sq.trained).astype(np.float32)


def sq_index(dim: int, bits: int, trained: Vectors, metric: str) -> Any:
    """Empty trained scalar quantizer."""
    index = faiss.IndexScalarQuantizer(dim, _SQ[bits], metric_of(metric))
    faiss.copy_array_to_vector(trained.astype(np.float32), index.sq.trained)
    index.is_trained = True
    return index


def flat_index(dim: int, metric: str, *, half: bool) -> Any:
    """Empty index of plain floats, in half precision or not."""
    if half:
        return sq_index(dim, 16, np.empty(0, np.float32), metric)
    return faiss.IndexFlat(dim, metric_of(metric))


def train_pq(x_ND: Vectors, m: int, bits: int, *, iterations: int, points_per_centroid: int, seed: int) -> Vectors:
    """Centroids [M, K, d] by k-means on each slice, without faiss's polysemous reordering (five times slower).

    Slices are trained side by side, each on one thread: threads inside faiss's k-means of so narrow rows wait for each
    other more than they work (measured on two cores: 5 rounds of PQ16x8 on 65,536 rows, 16 CPU s against 3.6).
    """
    width = x_ND.shape[1] // m

    def one(number: int) -> Vectors:
        faiss.omp_set_num_threads(1)  # of this thread
        pq = faiss.ProductQuantizer(width, 1, bits)
        _set_clustering(pq.cp, iterations, points_per_centroid, seed)
        pq.train(np.ascontiguousarray(x_ND[:, number * width : (number + 1) * width]))
        return faiss.vector_to_array(pq.centroids).reshape(pq.ksub, width).copy()

    with ThreadPoolExecutor(min(m, count_cpus())) as pool:
        return np.stack(list(pool.map(one, range(m))))


def train_opq(
    x_ND: Vectors, m: int, bits: int, dim: int, *, iterations: int, points: int, seed: int
) -> NDArray[np.float32]:
    """Rotation [E, D] that suits product quantization: rotate, quantize, Procrustes, repeated.

    With fewer than E rows or points, faiss writes beyond its memory and ends the process.
    """
    assert min(len(x_ND), points) >= max(dim, 1 << bits), "the quantizer refused fewer"
    transform = faiss.OPQMatrix(x_ND.shape[1], m, dim)
    transform.niter, transform.max_train_points, transform.verbose = iterations, points, False
    pq = faiss.ProductQuantizer(dim, m, bits)
    _set_clustering(pq.cp, pq.cp.niter, 256, seed)
    transform.pq = pq  # the transform only borrows it: `pq` must live until train returns
    transform.train(x_ND)
    transform.pq = None
    return faiss.vector_to_array(transform.A).reshape(dim, x_ND.shape[1]).copy()


def _set_clustering(parameters: Any, iterations: int, points_per_centroid: int, seed: int) -> None:
    parameters.niter = iterations
    parameters.max_points_per_centroid = points_per_centroid
    parameters.min_points_per_centroid = 1  # irctl says once what faiss would print for every slice
    parameters.seed = seed & 0x7FFFFFFF
    parameters.verbose = False


def pq_index(centroids_MKd: Vectors, bits: int, metric: str) -> Any:
    """Empty trained product quantizer."""
    m, _, d = centroids_MKd.shape
    index = faiss.IndexPQ(m * d, m, bits, metric_of(metric))
    faiss.copy_array_to_vector(np.ascontiguousarray(centroids_MKd, np.float32).ravel(), index.pq.centroids)
    index.is_trained = True
    return index


def rabitq_index(center_D: Vectors, bits: int, metric: str, query_bits: int = 0) -> Any:
    """Empty trained RaBitQ index around a centre (its inner quantizer keeps a bare pointer to it)."""
    index = faiss.IndexRaBitQ(len(center_D), metric_of(metric), bits)
    faiss.copy_array_to_vector(np.ascontiguousarray(center_D, np.float32), index.center)
    index.qb = query_bits
    index.is_trained = True
    return index


def sign_index(thresholds_D: Vectors) -> Any:
    """Empty trained index of sign bits that compares those of both sides, x_d >= threshold, by Hamming distance."""
    index: Any = faiss.IndexLSH(len(thresholds_D), len(thresholds_D), False, True)
    faiss.copy_array_to_vector(np.ascontiguousarray(thresholds_D, np.float32), index.thresholds)
    index.is_trained = True
    return index


def add_rotation(index: Any, rotation_ED: Vectors) -> Any:
    """The index behind a linear transform, so that it takes unrotated vectors."""
    e, d = rotation_ED.shape
    transform = faiss.LinearTransform(d, e, False)
    faiss.copy_array_to_vector(np.ascontiguousarray(rotation_ED, np.float32).ravel(), transform.A)
    transform.is_trained = True
    outer = faiss.IndexPreTransform(transform, index)
    outer.is_trained = True
    return outer


def from_factory(factory: str, dim: int, metric: str) -> Any:
    """Empty untrained index. Raises ConfigError where faiss knows no such string."""
    if not factory:
        raise ConfigError("faiss.factory: no factory string given", hint="--set faiss.factory=RQ8x8, for example")
    try:
        index = faiss.index_factory(dim, factory, metric_of(metric))
    except RuntimeError as e:
        raise ConfigError(f"faiss.factory: {factory} at {dim} dimensions: {_take_reason(e)}") from e
    _check_reversible(index, factory)
    return index


def code_size(index: Any, factory: str) -> int:
    """Bytes of a stand-alone code. Raises ConfigError for indexes that have none."""
    try:
        return int(index.sa_code_size())
    except RuntimeError as e:
        raise ConfigError(f"faiss.factory: {factory} has no codes that stand alone: {_take_reason(e)}") from e


def locate_halves(index: Any) -> slice:
    """Bytes of a code of this index that are half-precision numbers; none of them where it has none."""
    if isinstance(index, faiss.IndexPreTransform):
        index = faiss.downcast_index(index.index)
    if isinstance(index, faiss.IndexRowwiseMinMaxFP16):
        return slice(4)  # a row's own scale and minimum
    if getattr(getattr(index, "sq", None), "qtype", None) != faiss.ScalarQuantizer.QT_fp16:
        return slice(0)
    size = int(index.sa_code_size())
    return slice(size - 2 * index.d, size)  # an IVF code begins with its list


def train(index: Any, x_ND: Vectors, factory: str) -> list[str]:
    """Train it; what faiss printed meanwhile, each line once: it may say the same thing hundreds of times.

    Raises ConfigError where the rows are too few or do not fit.
    """
    _check_rotations(index, len(x_ND), factory)
    with tempfile.TemporaryFile("w+", errors="replace") as printed:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(printed.fileno(), 2)
        try:
            index.train(x_ND)
        except RuntimeError as e:
            raise ConfigError(f"faiss.factory: {factory} on {len(x_ND)} rows: {_take_reason(e)}") from e
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        printed.seek(0)
        return [f"faiss: {line}" for line in dict.fromkeys(printed.read().splitlines()) if line.strip()]


def _check_rotations(index: Any, rows: int, factory: str) -> None:
    """ConfigError below a row for each rotated dimension of OPQ: faiss writes beyond its memory, ending the process."""
    for t in list_transforms(index):
        if isinstance(t, faiss.OPQMatrix) and rows < t.d_out:
            raise ConfigError(
                f"faiss.factory: {factory}: OPQ to {t.d_out} dimensions needs as many training rows, found {rows}",
                hint=f"Train on {t.d_out} rows or more; --method opq says what fits fewer",
            )
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    if isinstance(inner, faiss.IndexIVF):  # lists may have a quantizer of their own, trained on their centroids
        _check_rotations(faiss.downcast_index(inner.quantizer), inner.nlist, factory)


def check_usable(index: Any, x_ND: Vectors, factory: str) -> None:
    """ConfigError where faiss cannot decode codes of this trained index, or cannot open it again."""
    try:
        codes_NC = encode(index, x_ND)
        decode(index, codes_NC)
        decode(from_array(to_array(index)), codes_NC)
    except (RuntimeError, AssertionError) as e:
        raise ConfigError(
            f"faiss.factory: {factory}: faiss cannot decode its codes or open it again: {_take_reason(e)}",
            hint="Take another factory string",
        ) from e


def list_transforms(index: Any) -> list[Any]:
    """What the index does to vectors before it encodes them, in order."""
    if not isinstance(index, faiss.IndexPreTransform):
        return []
    chain: Any = index.chain
    return [faiss.downcast_VectorTransform(chain.at(i)) for i in range(chain.size())]


def _check_reversible(index: Any, factory: str) -> None:
    """ConfigError, before any training, for transforms that faiss has no way back from: rows could not be decoded."""
    for t in list_transforms(index):
        if isinstance(t, faiss.ITQTransform) or (isinstance(t, faiss.PCAMatrix) and t.eigen_power):
            name = "ITQ" if isinstance(t, faiss.ITQTransform) else "whitening (PCAW)"
            raise ConfigError(
                f"faiss.factory: {factory}: faiss cannot undo {name}, so its codes cannot be decoded",
                hint="Use OPQ, PCA, PCAR or RR in its place",
            )


def _take_reason(e: Exception) -> str:
    """What faiss says, without the place in its sources."""
    text = (str(e).strip() or type(e).__name__).splitlines()[0]
    return re.sub(r"^(Error in .* at \S+:\d+: |Error: )", "", text).removeprefix("Error: ")


@contextmanager
def limit_to_one_thread() -> Iterator[None]:
    """faiss on one thread, for the calling thread: its sums depend on their number."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def to_array(index: Any) -> NDArray[np.uint8]:
    """faiss's own bytes of an index."""
    return np.array(faiss.serialize_index(index), dtype=np.uint8)


def from_array(array: NDArray[np.uint8]) -> Any:
    """The index of `to_array`."""
    return faiss.deserialize_index(np.ascontiguousarray(array))


def versions() -> dict[str, str]:
    """What made the arrays: recorded, because another faiss may train them differently."""
    return {"faiss": faiss.__version__, "numpy": np.__version__}
