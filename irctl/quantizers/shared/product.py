"""What PQ and OPQ share once centroids exist: checks, assignment, decoding, table scores.

Dimension key: N vectors, D dimensions, M slices, K centroids a slice, d = D / M, B rows of a block, Q queries.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from irctl.errors import ConfigError
from irctl.index.arrays import as_codes
from irctl.index.topk import Scores
from irctl.quantizers.shared import bit_packing, blocks
from irctl.quantizers.shared.search import Codes, Vectors

POINTS_WANTED = 39  # training rows a centroid below which faiss, too, calls k-means poor
_CENTROIDS = 4096  # centroids compared at once: 8 MB of scores a block


def check_slices(name: str, dim: int, m: int) -> None:
    """ConfigError with the nearest divisors unless m divides D."""
    if dim % m:
        divisors = [d for d in range(1, dim + 1) if dim % d == 0]
        below, above = max(d for d in divisors if d <= m), min((d for d in divisors if d >= m), default=dim)
        near = " or ".join(f"--set {name}.m={d}" for d in sorted({below, above}))
        raise ConfigError(f"{name}.m: {m} slices do not divide {dim} dimensions", hint=f"Nearest that do: {near}")


def most_bits(rows: int) -> int:
    """Bits whose centroids so many rows can train at all; 0 below two rows."""
    return max(rows.bit_length() - 1, 0)


def check_rows(name: str, rows: int, bits: int) -> list[str]:
    """ConfigError below one row a centroid; one line of warning below 39."""
    k = 1 << bits
    if rows < k:
        legal = most_bits(rows)
        hint = f"At most --set {name}.bits={legal} with these rows" if legal else "Train on more rows"
        raise ConfigError(f"{name}.bits: {bits} bits need at least {k} training rows, found {rows}", hint=hint)
    if rows >= POINTS_WANTED * k:
        return []
    better = max(1, (rows // POINTS_WANTED).bit_length() - 1)
    return [
        f"{name}: {rows} training rows for {k} centroids a slice, k-means wants {POINTS_WANTED * k}; "
        f"{name}.bits={better} suits these rows"
    ]


def assign(x_ND: Vectors, centroids_MKd: Vectors) -> NDArray[np.uint16]:
    """Number of the nearest centroid of each slice [N, M]; the lower number where two are equally near."""
    slices, k, d = centroids_MKd.shape
    out_NM = np.empty((len(x_ND), slices), np.uint16)
    columns_MdK = np.ascontiguousarray(centroids_MKd.transpose(0, 2, 1))
    half_MK = (np.einsum("mkd,mkd->mk", centroids_MKd, centroids_MKd, dtype=np.float64) / 2).astype(np.float32)

    def work(block_BD: Vectors, rows: slice) -> None:
        n = rows.stop - rows.start
        for m in range(slices):
            slice_Bd = block_BD[:, m * d : (m + 1) * d]
            if k <= _CENTROIDS:
                near_BK = slice_Bd @ columns_MdK[m]
                near_BK -= half_MK[m]
                out_NM[rows, m] = near_BK.argmax(axis=1)[:n]
                continue
            best_B = np.full(len(block_BD), -np.inf, np.float32)
            which_B = np.zeros(len(block_BD), np.int64)
            for start in range(0, k, _CENTROIDS):
                near_BK = slice_Bd @ columns_MdK[m, :, start : start + _CENTROIDS]
                near_BK -= half_MK[m, start : start + _CENTROIDS]
                here_B = near_BK.argmax(axis=1)
                value_B = near_BK[np.arange(len(here_B)), here_B]
                better_B = value_B > best_B
                best_B[better_B], which_B[better_B] = value_B[better_B], here_B[better_B] + start
            out_NM[rows, m] = which_B[:n]

    blocks.run_blocks(x_ND, work)
    return out_NM


def decode(codes_NC: Codes, centroids_MKd: Vectors, bits: int) -> Vectors:
    """Centroids put together [N, D]."""
    slices, _, d = centroids_MKd.shape
    codes_NC = as_codes(codes_NC, bit_packing.count_bytes(slices, bits))
    which_NM = bit_packing.unpack(codes_NC, slices, bits)
    out_NMd = np.empty((len(codes_NC), slices, d), np.float32)
    for m in range(slices):
        out_NMd[:, m] = centroids_MKd[m, which_NM[:, m]]
    return out_NMd.reshape(len(codes_NC), slices * d)


def scores(queries_QD: Vectors, codes_NC: Codes, centroids_MKd: Vectors, bits: int, metric: str) -> Scores:
    """Sums over slices of a table [M, K] a query: <q_m, c_mk>, or minus |q_m - c_mk|^2."""
    slices, _, d = centroids_MKd.shape
    which_NM = bit_packing.unpack(as_codes(codes_NC, bit_packing.count_bytes(slices, bits)), slices, bits)
    out_QN = np.zeros((len(queries_QD), len(codes_NC)), np.float64)
    for m in range(slices):
        q_Qd, c_Kd = queries_QD[:, m * d : (m + 1) * d].astype(np.float64), centroids_MKd[m].astype(np.float64)
        table_QK = q_Qd @ c_Kd.T
        if metric == "l2":
            table_QK = 2 * table_QK - (c_Kd**2).sum(1)[None] - (q_Qd**2).sum(1)[:, None]
        out_QN += table_QK[:, which_NM[:, m]]
    return out_QN.astype(np.float32)
