"""RaBitQ: signs of a randomly rotated residual, or up to 9 bits a dimension, with an unbiased estimate of the product.

Gao and Long 2024, arXiv 2405.12497; more bits: Gao et al. 2024, arXiv 2409.09913. Records are those of faiss 1.15
(IndexRaBitQ), which trains nothing and applies no rotation: rotation, centre and decoding are ours. Its own decoder
reads the sign bits only.

Inner products are ours too. faiss takes <x, q> = <c, q> + <x - c, c> + <r, q - c> with the estimated r in the last term
only, so its ranking changes with the length of a query. Here c is taken a times, a = <q, c> / <c, c>:
<x, q> = <c, q> + a <x - c, c> + <r, q - a c>, which is linear in q, has the smallest error of any a (q - a c is
shortest), and is faiss's form for q / a.
Dimension key: N vectors, D dimensions, C code bytes a vector, Q queries, u grid numbers in [0, 2^bits).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from irctl.errors import ConfigError, DataError
from irctl.index.arrays import as_codes
from irctl.index.scoring import check_metric, dot
from irctl.index.topk import Rows, Scores
from irctl.quantizers.shared import bit_packing, faiss_tools, rotations, sign_code, store
from irctl.quantizers.shared.search import (
    Codes,
    Scorer,
    Vectors,
    prepare,
    score_pieces,
    search_by_faiss,
    search_by_scores,
)

_NEAR = 1e-3  # a centre nearer to 0 than this share of a residual: f0, a difference of squares, says nothing of <r, c>
_ACROSS = 1e-6  # cosine of query and centre below which <r, c> is lost in the rounding of float32
_ENLARGED = np.float32(2.0**30)  # of factors given to faiss: it adds |q|^2 and takes it off again, in float32

_READ = 128  # rows read at once: they stay in the CPU's cache
_UNPACKED = 2048  # rows whose signs are float64 at once: 16 MB at 1024 dimensions
OWN_FACTORS = "irctl"
"""Kept with a trained quantizer: codes of one that was trained before there were such are made by faiss to the end."""

_ROOM = 1e25  # factors up to here can be enlarged within float32


@dataclass(frozen=True, kw_only=True)
class Config:
    bits: int = 1  # bits a dimension, 1 to 9
    # auto (Hadamard for powers of two, else dense), dense, hadamard, none
    rotation: str = field(default="auto", metadata={"choices": ("auto", "dense", "hadamard", "none")})
    # bits a dimension of the query when bits = 1 (0: exact, far slower); longer codes score it exactly
    query_bits: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 9:
            raise ConfigError(f"rabitq.bits: expected 1 to 9, found {self.bits}")
        if self.rotation not in self.__dataclass_fields__["rotation"].metadata["choices"]:
            raise ConfigError(f"rabitq.rotation: expected auto, dense, hadamard or none, found {self.rotation!r}")
        if not 0 <= self.query_bits <= 8:
            raise ConfigError(f"rabitq.query_bits: expected 0 to 8, found {self.query_bits}")


class Quantizer:
    """1 bit: signs, f0, f1. More: signs, f0, f1, bound, low bits, e0, e1 (all float32, little-endian)."""

    train_rows = None  # the centre is a mean over all of them

    def __init__(self, config: Config, dim: int, metric: str = "ip", seed: int = 42) -> None:
        rotations.resolve(config.rotation, dim)
        self.config, self.dim, self.metric, self.seed = config, dim, check_metric(metric), seed
        self._signs = (dim + 7) // 8
        self._low = 0 if config.bits == 1 else bit_packing.count_bytes(dim, config.bits - 1)
        self.code_size = self._signs + (8 if config.bits == 1 else 12 + self._low + 8)
        self.center_D: Vectors | None = None
        self._rotation: dict[str, Vectors] = {}
        self._factors = OWN_FACTORS if config.bits == 1 else ""  # who computes those of the codes; empty: faiss

    def fit(self, x_ND: ArrayLike) -> None:
        rows_ND = prepare(x_ND, self.dim, self.metric)
        if not len(rows_ND):
            raise DataError("rabitq: expected rows to train on, found none")
        self._rotation = rotations.make(self.config.rotation, self.dim, self.seed)
        center_D = rows_ND.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.center_D = rotations.apply(self._rotation, center_D[None])[0]

    def encode(self, x_ND: ArrayLike) -> Codes:
        rows_ND = prepare(x_ND, self.dim, self.metric)
        if self._factors == OWN_FACTORS:
            return sign_code.encode(self._rotation, rows_ND, self._center(), self.metric)
        index = faiss_tools.rabitq_index(self._center(), self.config.bits, self.metric)
        return faiss_tools.encode(index, rotations.apply(self._rotation, rows_ND))

    def decode(self, codes_NC: Codes) -> Vectors:
        """The unbiased reconstruction: its product with a query is the estimate. For l2 up to one constant a row."""
        grid_ND, scale_N, constant_N = self._read(codes_NC)
        decoded_ND = grid_ND * scale_N[:, None].astype(np.float32) + self._center()
        center_D = self._center().astype(np.float64)
        if self.metric != "l2" and (squared := float(center_D @ center_D)):
            along_N = (constant_N - (grid_ND @ center_D) * scale_N) / squared  # the codes know <r, c> exactly
            decoded_ND += (along_N[:, None] * center_D).astype(np.float32)
        return rotations.undo(self._rotation, decoded_ND)

    def scores(self, queries_QD: ArrayLike, codes_NC: Codes) -> Scores:
        """The estimate with the exact query."""
        return self._scores(self._query(queries_QD), codes_NC)

    def scorer(self, queries_QD: ArrayLike) -> Scorer | None:
        """None where faiss searches: 1 bit and a rounded query.

        faiss prunes longer codes by a probable bound, so its results depend on how the rows were cut into blocks.
        """
        if self.config.bits == 1 and self.config.query_bits:
            return None
        rotated_QD = self._query(queries_QD)
        return score_pieces(lambda codes_NC: self._scores(rotated_QD, codes_NC), len(rotated_QD))

    def search(self, queries_QD: ArrayLike, codes_NC: Codes, k: int) -> tuple[Scores, Rows]:
        if score := self.scorer(queries_QD):
            return search_by_scores(score, codes_NC, len(np.asarray(queries_QD)), k)
        rotated_QD = self._query(queries_QD)
        if self.metric != "l2":
            return self._search_products(rotated_QD, as_codes(codes_NC, self.code_size), k)
        index = faiss_tools.rabitq_index(self._center(), 1, self.metric, self.config.query_bits)
        return search_by_faiss(index, rotated_QD, codes_NC, k, negate=True)

    def faiss_index(self) -> object:
        """The empty trained faiss index of these codes, its rotation attached."""
        index = faiss_tools.rabitq_index(self._center(), self.config.bits, self.metric, self.config.query_bits)
        if not self._rotation:
            return index
        return faiss_tools.add_rotation(index, rotations.matrix(self._rotation, self.dim))

    @property
    def faiss_differs(self) -> str:
        """What a reader of the faiss index has to know: its scores are not ours. Empty where they are."""
        if self.metric == "l2" or not self._center().any():
            return ""
        return (
            "faiss estimates inner products of RaBitQ otherwise, and ranks longer and shorter queries differently: "
            "divide a query q by a = <q, c> / <c, c>, c the index's center and q behind its transform, and multiply "
            "the scores by a: where a is above 0 that ranks as irctl does"
        )

    def _search_products(self, rotated_QD: Vectors, codes_NC: Codes, k: int) -> tuple[Scores, Rows]:
        """Search 1-bit codes by faiss around 0: <r, q - a c> / |a| plus the sign of a times <r, c>, scaled back."""
        product_Q, a_Q, rest_QD = self._parts(rotated_QD)
        length_Q = np.sqrt(np.einsum("qd,qd->q", rest_QD, rest_QD))
        far_Q = np.abs(a_Q) * np.linalg.norm(self._center().astype(np.float64)) > _ACROSS * length_Q
        sign_Q = np.where(far_Q, np.sign(a_Q), 0)
        scale_Q = np.where(far_Q, np.abs(a_Q), np.where(length_Q > 0, length_Q, 1))
        factors_N2 = _view_floats(codes_NC[:, self._signs :])
        constant_N = self._constant(codes_NC, factors_N2)
        stored_NC, stored_N2 = codes_NC.copy(), np.empty_like(factors_N2)
        most = max(np.abs(constant_N).max(initial=0), factors_N2[:, 1].max(initial=0))
        enlarged = _ENLARGED if most < _ROOM else np.float32(1)
        stored_N2[:, 1] = factors_N2[:, 1] * enlarged
        index = faiss_tools.rabitq_index(np.zeros_like(self._center()), 1, self.metric, self.config.query_bits)
        width = min(k, len(codes_NC))
        scores_Qk, rows_Qk = (
            np.empty((len(rotated_QD), width), np.float32),
            np.empty((len(rotated_QD), width), np.int64),
        )
        for sign in np.unique(sign_Q):
            of_sign = np.flatnonzero(sign_Q == sign)
            scaled_QD = (rest_QD[of_sign] / scale_Q[of_sign, None]).astype(np.float32)
            stored_N2[:, 0] = constant_N * (-2 * sign * enlarged)
            stored_NC[:, self._signs :] = stored_N2.view(np.uint8)

            def finish(found_qa: Scores, q: NDArray[np.int64], of_sign: NDArray[np.int64] = of_sign) -> Scores:
                scale_q, product_q = scale_Q[of_sign[q], None] / enlarged, product_Q[of_sign[q], None]
                finished_qa: Scores = (found_qa * scale_q + product_q).astype(np.float32)
                return finished_qa

            scores_Qk[of_sign], rows_Qk[of_sign] = search_by_faiss(index, scaled_QD, stored_NC, k, finish=finish)
        return scores_Qk, rows_Qk

    def _parts(self, rotated_QD: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """(<q, c>, a, q - a c) of each query, a = <q, c> / <c, c>; 0 where c is 0."""
        center_D, q_QD = self._center().astype(np.float64), rotated_QD.astype(np.float64)
        product_Q = q_QD @ center_D
        a_Q = product_Q / (float(center_D @ center_D) or np.inf)
        return product_Q, a_Q, q_QD - a_Q[:, None] * center_D

    def _scores(self, rotated_QD: Vectors, codes_NC: Codes) -> Scores:
        grid_ND, scale_N, constant_N = self._read(codes_NC)
        if self.metric == "l2":  # |x - q|^2 = |r|^2 + |q - c|^2 - 2 <r, q - c>
            from_center_QD = (rotated_QD - self._center().astype(np.float64)).astype(np.float32)
            products_QN = dot(from_center_QD, grid_ND).astype(np.float64) * scale_N
            away_Q = (from_center_QD.astype(np.float64) ** 2).sum(axis=1)
            distance_QN: Scores = (constant_N + away_Q[:, None] - 2 * products_QN).astype(np.float32)
            return -distance_QN
        product_Q, a_Q, rest_QD = self._parts(rotated_QD)
        products_QN = dot(rest_QD.astype(np.float32), grid_ND).astype(np.float64) * scale_N
        products_QN += a_Q[:, None] * constant_N
        products_QN += product_Q[:, None]
        return products_QN.astype(np.float32)

    def _read(self, codes_NC: Codes) -> tuple[Vectors, NDArray[np.float64], NDArray[np.float64]]:
        """(g [N, D], scale [N], constant [N]): the residual is about scale * g; constant is <r, c>, or |r|^2 for L2."""
        codes_NC = as_codes(codes_NC, self.code_size)
        bits, l2 = self.config.bits, self.metric == "l2"
        grid_ND = np.empty((len(codes_NC), self.dim), np.float32)
        if bits == 1:
            factors_N2 = _view_floats(codes_NC[:, self._signs :])
            constant_N = factors_N2[:, 0].astype(np.float64) if l2 else self._constant(codes_NC, factors_N2)
            for start in range(0, len(codes_NC), _READ):
                some_nC = codes_NC[start : start + _READ, : self._signs]
                signs_nD = bit_packing.unpack(some_nC, self.dim, 1).astype(np.float32)
                grid_ND[start : start + _READ] = (2 * signs_nD - 1) / np.float32(self.dim**0.5)
            return grid_ND, factors_N2[:, 1].astype(np.float64), constant_N
        for start in range(0, len(codes_NC), _READ):
            some_nC = codes_NC[start : start + _READ]
            low_nD = bit_packing.unpack(some_nC[:, self._signs + 12 : self._signs + 12 + self._low], self.dim, bits - 1)
            high_nD = np.unpackbits(some_nC[:, : self._signs], axis=1, bitorder="little", count=self.dim)
            low_nD |= high_nD.astype(np.uint16) << np.uint16(bits - 1)
            np.subtract(low_nD, np.float32(((1 << bits) - 1) / 2), out=grid_ND[start : start + _READ])
        factors_N2 = _view_floats(codes_NC[:, self.code_size - 8 :])
        return grid_ND, factors_N2[:, 1].astype(np.float64) / (-2 if l2 else 1), factors_N2[:, 0].astype(np.float64)

    def _constant(self, codes_NC: Codes, factors_N2: Vectors) -> NDArray[np.float64]:
        """<r, c> [N] of 1-bit codes for inner products: f0 = |r|^2 - |x|^2, and |x|^2 = |r|^2 + 2 <r, c> + |c|^2."""
        center_D = self._center().astype(np.float64)
        squared = float(center_D @ center_D)
        constant_N: NDArray[np.float64] = (factors_N2[:, 0] + np.float64(squared)) / -2
        near_N = np.flatnonzero(factors_N2[:, 1] > squared**0.5 / _NEAR)
        for start in range(0, len(near_N), _UNPACKED):
            near = near_N[start : start + _UNPACKED]
            signs_nD = bit_packing.unpack(codes_NC[near, : self._signs], self.dim, 1) * 2.0 - 1
            constant_N[near] = signs_nD @ center_D * factors_N2[near, 1] / self.dim**0.5
        return constant_N

    def _query(self, queries_QD: ArrayLike) -> Vectors:
        self._center()
        return rotations.apply(self._rotation, prepare(queries_QD, self.dim, self.metric, "queries"))

    def _center(self) -> Vectors:
        return store.require_trained("rabitq", self.center_D)

    def save(self, folder: Path) -> None:
        """center.npy lies in rotated axes, as faiss sees them."""
        factors = {"factors": self._factors} if self._factors else {}
        arrays = {"center": self._center(), **self._rotation}
        store.save(folder, "rabitq", self, arrays, made_with=faiss_tools.versions(), **factors)

    @classmethod
    def load(cls, folder: Path) -> Quantizer:
        quantizer, arrays = store.load(folder, "rabitq", cls, Config)
        quantizer.center_D = arrays.pop("center")
        quantizer._rotation = arrays
        quantizer._factors = str(store.describe(folder).get("factors", ""))
        return quantizer


def _view_floats(bytes_NC: Codes) -> Vectors:
    return np.ascontiguousarray(bytes_NC).view("<f4")
