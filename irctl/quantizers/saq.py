"""SAQ: principal components cut into segments, more bits where the variance is, codes turned towards the vector.

A row is stored as: each segment's codes (b bits a dimension, LSB first), then (norm, g) of each segment as float32,
then with l2 the squared norm of the uncoded tail. g makes an estimated inner product unbiased over the rotations.
Gains over RaBitQ come from the decaying spectrum; on a flat one there is little to gain.
Dimension key: N rows, D dimensions, C code bytes, Q queries, L coded dimensions, S coded segments.
Source: SAQ, arXiv 2509.12086 (CAQ codes, dynamic programming of bits). Ours, in numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from irctl.errors import ConfigError
from irctl.index import scoring
from irctl.index.arrays import as_codes
from irctl.quantizers.shared import bit_packing, blocks, rotations, saq_code, saq_plan, store
from irctl.quantizers.shared.search import Scorer, prepare, score_pieces, search_by_scores

_ENCODE = 32 * blocks.BLOCK  # rows projected at once; whole blocks, so bytes do not depend on the batch
_READ = 128  # rows unpacked at once: they stay in the CPU's cache
_CHUNK = 4096  # rows of the covariance at once
F32 = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Config:
    bits: float = 1.0  # average bits a dimension; halves are fine
    rounds: int = 6  # passes of code adjustment; 0: nearest grid point
    segmented: bool = True  # False: one segment over all dimensions

    def __post_init__(self) -> None:
        if not 0.1 <= self.bits <= 13:
            raise ConfigError(f"saq.bits: expected 0.1 to 13, found {self.bits}")
        if self.rounds < 0:
            raise ConfigError(f"saq.rounds: expected 0 or more, found {self.rounds}")


class Quantizer:
    """Trained by `fit`: mean, principal components, plan and one random rotation a segment."""

    def __init__(self, config: Config, dim: int, metric: str = "ip", seed: int = 42) -> None:
        saq_plan.check_room(config.bits, dim, segmented=config.segmented)
        self.config, self.dim, self.metric, self.seed = config, dim, scoring.check_metric(metric), seed
        self.segments: list[saq_plan.Segment] = []
        self.mean_D: F32 = np.zeros(dim, np.float32)
        self.projection_DL: F32 = np.zeros((dim, 0), np.float32)

    @property
    def coded(self) -> list[saq_plan.Segment]:
        """The segments that have bits."""
        return [s for s in self.segments if s[1]]

    @property
    def has_tail(self) -> bool:
        """True if l2 needs the norm of what is not coded."""
        return self.metric == "l2" and any(not bits for _, bits in self.segments)

    @property
    def code_size(self) -> int:
        """Bytes a row; 0 before training, which makes the plan."""
        codes = sum(length * bits // 8 for length, bits in self.coded)
        return codes + 8 * len(self.coded) + 4 * self.has_tail

    def fit(self, x_ND: F32) -> None:
        """Mean and principal components in float64 blocks, then the plan. Raises ConfigError below 2 rows."""
        x_ND = prepare(x_ND, self.dim, self.metric)
        if len(x_ND) < 2:
            raise ConfigError(f"saq: needs at least 2 training rows, found {len(x_ND)}")
        mean_D, variance_D, axes_DD = compute_principal_components(x_ND)
        units = -(-self.dim // saq_plan.UNIT)
        width = units * saq_plan.UNIT
        padded_D = np.zeros(width)
        padded_D[: self.dim] = variance_D
        self.segments = saq_plan.plan(
            padded_D.reshape(units, -1).sum(axis=1), self.config.bits, self.dim, segmented=self.config.segmented
        )
        axes_DW = np.zeros((self.dim, width))
        axes_DW[:, : self.dim] = axes_DD
        self.mean_D = mean_D.astype(np.float32)
        self.projection_DL = self._projection(axes_DW)

    def _projection(self, axes_DW: NDArray[np.float64]) -> F32:
        parts, start = [np.zeros((self.dim, 0))], 0
        for number, (length, bits) in enumerate(self.segments):
            if bits:
                turn_LL = rotations.random_orthogonal(length, self.seed + number).astype(np.float64)
                parts.append(axes_DW[:, start : start + length] @ turn_LL.T)
            start += length
        return np.ascontiguousarray(np.concatenate(parts, axis=1), dtype=np.float32)

    def encode(self, x_ND: F32) -> NDArray[np.uint8]:
        """Codes [N, C]."""
        x_ND = prepare(x_ND, self.dim, self.metric)
        codes_NC = np.empty((len(x_ND), self.code_size), np.uint8)
        for start in range(0, len(x_ND), _ENCODE):
            codes_NC[start : start + _ENCODE] = self._encode(x_ND[start : start + _ENCODE])
        return codes_NC

    def _encode(self, x_ND: F32) -> NDArray[np.uint8]:
        centred_ND = x_ND - self.mean_D
        o_NL = blocks.multiply(centred_ND, self.projection_DL)
        codes, factors, start = [], [], 0
        for length, bits in self.coded:
            code_NL, factor_N2 = saq_code.encode(o_NL[:, start : start + length], bits, self.config.rounds)
            codes.append(bit_packing.pack(code_NL, bits))
            factors.append(factor_N2)
            start += length
        if self.has_tail:
            whole_N = np.einsum("nd,nd->n", centred_ND, centred_ND, dtype=np.float64)
            coded_N = sum(f[:, :1].astype(np.float64) ** 2 for f in factors)
            factors.append(np.maximum(whole_N[:, None] - coded_N, 0).astype(np.float32))
        record = np.concatenate(factors, axis=1).astype("<f4")
        return np.concatenate([*codes, np.ascontiguousarray(record).view(np.uint8).reshape(len(x_ND), -1)], axis=1)

    def _vectors(self, codes_NC: NDArray[np.uint8]) -> tuple[F32, F32]:
        """(g a [N, L], the coded coordinates, and the factors [N, 2S (+ 1)])."""
        codes_NC = as_codes(codes_NC, self.code_size)
        first = sum(length * bits // 8 for length, bits in self.coded)
        factors = np.ascontiguousarray(codes_NC[:, first:]).view("<f4").astype(np.float32)
        y_NL = np.empty((len(codes_NC), sum(length for length, _ in self.coded)), np.float32)
        for rows in (slice(start, start + _READ) for start in range(0, len(codes_NC), _READ)):
            column, byte = 0, 0
            for number, (length, bits) in enumerate(self.coded):
                some_nC = np.ascontiguousarray(codes_NC[rows, byte : byte + length * bits // 8])
                a_nL = saq_code.to_grid(bit_packing.unpack(some_nC, length, bits), bits)
                g_n = factors[rows, 2 * number + 1]
                np.multiply(a_nL, g_n[:, None], out=y_NL[rows, column : column + length])
                column, byte = column + length, byte + length * bits // 8
        return y_NL, factors

    def decode(self, codes_NC: NDArray[np.uint8]) -> F32:
        """Vectors [N, D]: what `scores` scores, unbiased; not the reconstruction nearest to the row."""
        y_NL, _ = self._vectors(codes_NC)
        return blocks.multiply(y_NL, np.ascontiguousarray(self.projection_DL.T)) + self.mean_D

    def scores(self, queries_QD: F32, codes_NC: NDArray[np.uint8]) -> F32:
        """Estimated similarities [Q, N]; for l2 minus the squared distance."""
        return self.scorer(queries_QD)(codes_NC)

    def scorer(self, queries_QD: F32) -> Scorer:
        """Those of these queries, projected once."""
        q_QD = prepare(queries_QD, self.dim, self.metric).astype(np.float64)
        centred_QD = q_QD - self.mean_D if self.metric == "l2" else q_QD
        q_QL = (centred_QD @ self.projection_DL.astype(np.float64)).astype(np.float32)
        return score_pieces(lambda codes_NC: self._score(q_QD, q_QL, codes_NC), len(q_QD))

    def _score(self, q_QD: NDArray[np.float64], q_QL: F32, codes_NC: NDArray[np.uint8]) -> F32:
        y_NL, factors = self._vectors(codes_NC)
        if self.metric != "l2":
            return (scoring.dot(q_QL, y_NL) + (q_QD @ self.mean_D)[:, None]).astype(np.float32)
        centred_QD = q_QD - self.mean_D
        own_N = (factors[:, : 2 * len(self.coded) : 2].astype(np.float64) ** 2).sum(axis=1)
        if self.has_tail:
            own_N += factors[:, -1]
        query_Q = np.einsum("qd,qd->q", centred_QD, centred_QD)
        scores_QN: F32 = (2 * scoring.dot(q_QL, y_NL) - own_N[None] - query_Q[:, None]).astype(np.float32)
        return scores_QN

    def search(self, queries_QD: F32, codes_NC: NDArray[np.uint8], k: int) -> tuple[F32, NDArray[np.int64]]:
        """(scores, rows) of the min(k, N) best."""
        return search_by_scores(self.scorer(queries_QD), codes_NC, len(queries_QD), k)

    def layout(self) -> dict[str, Any]:
        """Where what lies in a row of codes, for a reader without irctl; bytes count from 0."""
        segments, dimension, start = [], 0, 0
        for length, bits in self.segments:
            size = length * bits // 8
            place = {"first_byte": start, "bytes": size} if bits else {}
            segments.append({"first_dimension": dimension, "dimensions": length, "bits": bits, **place})
            dimension, start = dimension + length, start + size
        factors = {"first_byte": start, "dtype": "<f4", "shape": [len(self.coded), 2], "columns": ["norm", "g"]}
        tail = {"first_byte": start + 8 * len(self.coded), "dtype": "<f4"} if self.has_tail else None
        estimate = "<x, q> = <mean, q> + sum over coded segments of g <a, q projection>, its columns in order"
        if self.metric == "l2":
            estimate = (
                "|x - q|^2 = |q - mean|^2 + tail + sum over coded segments of norm^2 - 2 g <a, (q - mean) projection>, "
                "its columns in order"
            )
        return {
            "segments": segments,
            "factors": factors,
            "tail_squared_norm": tail,
            "codes": "dimension after dimension, `bits` bits each, least significant bit first",
            "values": "a = c + 1/2 - 2^(bits - 1) for a code c",
            "estimate": estimate,
        }

    def save(self, folder: Path) -> None:
        """mean [D], projection [D, L], segments [S, 2] as .npy; quantizer.json last."""
        arrays: dict[str, NDArray[Any]] = {
            "mean": self.mean_D,
            "projection": self.projection_DL,
            "segments": np.array(self.segments, np.int64).reshape(-1, 2),
        }
        layout = "segment codes LSB first; float32 (norm, g) a coded segment; float32 tail squared norm for l2"
        store.save(folder, "saq", self, arrays, layout=layout)

    @classmethod
    def load(cls, folder: Path) -> Quantizer:
        """The trained quantizer of a folder."""
        quantizer, arrays = store.load(folder, "saq", cls, Config)
        quantizer.mean_D, quantizer.projection_DL = arrays["mean"], arrays["projection"]
        quantizer.segments = [(int(length), int(bits)) for length, bits in arrays["segments"]]
        return quantizer


def compute_principal_components(x_ND: F32) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(mean [D], variances [D] descending, axes [D, D] in columns), without an SVD, which would double memory."""
    dim = x_ND.shape[1]
    mean_D = np.zeros(dim)
    for start in range(0, len(x_ND), _CHUNK):
        mean_D += x_ND[start : start + _CHUNK].sum(axis=0, dtype=np.float64)
    mean_D /= len(x_ND)
    total_DD = np.zeros((dim, dim))
    with threadpool_limits(1, user_api="blas"):
        for start in range(0, len(x_ND), _CHUNK):
            centred = x_ND[start : start + _CHUNK].astype(np.float64) - mean_D
            total_DD += centred.T @ centred
        variance_D, axes_DD = np.linalg.eigh(total_DD / len(x_ND))
    variance_D, axes_DD = np.maximum(variance_D[::-1], 0), axes_DD[:, ::-1]
    # an eigenvector's sign is free: fix it, so that training is the same everywhere
    signs_D = np.sign(axes_DD[np.abs(axes_DD).argmax(axis=0), np.arange(dim)])
    return mean_D, variance_D, axes_DD * np.where(signs_D == 0, 1, signs_D)
