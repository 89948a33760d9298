"""Optimized product quantization: a learned rotation, then product quantization of the rotated rows.

Ge et al. 2013, Optimized Product Quantization for Approximate Nearest Neighbor Search (the non-parametric form):
rotate, quantize, solve orthogonal Procrustes, repeat. At 64 bytes and 1024 dimensions `opq.dim=256` is advised.
Dimension key: N vectors, D dimensions, E rotated dimensions, M slices, K centroids a slice, C code bytes, Q queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from irctl.errors import ConfigError
from irctl.index.scoring import check_metric, dot
from irctl.index.topk import Rows, Scores
from irctl.quantizers.shared import bit_packing, faiss_tools, fast_scan, product, rotations, store
from irctl.quantizers.shared.search import Codes, Vectors, prepare, search_by_faiss


@dataclass(frozen=True, kw_only=True)
class Config:
    m: int = 16  # slices; the rotated dimensions must be a multiple
    bits: int = 8  # bits a slice, 1 to 16
    dim: int = 0  # dimensions after the rotation; 0: all
    iterations: int = 20  # rounds of rotation training
    points: int = 65536  # rows the rotation trains on, at most
    points_per_centroid: int = 256  # rows the centroids train on: at most so many a centroid
    kmeans_iterations: int = 25  # rounds of k-means of the final centroids

    def __post_init__(self) -> None:
        if self.m < 1 or not 1 <= self.bits <= 16:
            raise ConfigError(f"opq.m, opq.bits: expected m >= 1 and 1 to 16 bits, found {self.m} and {self.bits}")
        if self.dim < 0:
            raise ConfigError(f"opq.dim: expected 0 (all) or more, found {self.dim}")
        if min(self.iterations, self.points, self.points_per_centroid, self.kmeans_iterations) < 1:
            raise ConfigError("opq: iterations, points, points_per_centroid and kmeans_iterations must be at least 1")


class Quantizer:
    """Codes are those of PQ over x R^T."""

    def __init__(self, config: Config, dim: int, metric: str = "ip", seed: int = 42) -> None:
        self.reduced = config.dim or dim
        if self.reduced > dim:
            raise ConfigError(f"opq.dim: expected at most the {dim} dimensions of the input, found {config.dim}")
        product.check_slices("opq", self.reduced, config.m)
        if config.points < (least := max(self.reduced, 1 << config.bits)):
            raise ConfigError(
                f"opq.points: expected at least {least} rows, to train a rotation to {self.reduced} dimensions and "
                f"{1 << config.bits} centroids, found {config.points}"
            )
        self.config, self.dim, self.metric, self.seed = config, dim, check_metric(metric), seed
        self.code_size = bit_packing.count_bytes(config.m, config.bits)
        self.train_rows = max(config.points, config.points_per_centroid << config.bits)
        self.warnings: list[str] = []  # what `fit` has to say
        self.centroids_MKd: Vectors | None = None
        self.rotation_ED: Vectors | None = None

    def fit(self, x_ND: ArrayLike) -> None:
        rows_ND = prepare(x_ND, self.dim, self.metric)
        self._check_rotation(len(rows_ND))
        self.warnings = product.check_rows("opq", len(rows_ND), self.config.bits)
        self.rotation_ED = faiss_tools.train_opq(
            rows_ND,
            self.config.m,
            self.config.bits,
            self.reduced,
            iterations=self.config.iterations,
            points=self.config.points,
            seed=self.seed,
        )
        self.centroids_MKd = faiss_tools.train_pq(
            rotations.apply({"rotation": self.rotation_ED}, rows_ND),
            self.config.m,
            self.config.bits,
            iterations=self.config.kmeans_iterations,
            points_per_centroid=self.config.points_per_centroid,
            seed=self.seed,
        )

    def _check_rotation(self, rows: int) -> None:
        """ConfigError below a row a rotated dimension: faiss would write beyond its memory, and end the process."""
        if rows >= self.reduced:
            return
        hint, bits, m = "Train on more rows", product.most_bits(rows), min(self.config.m, rows)
        if bits:  # all that these rows allow, in one go
            fewer = {"dim": rows - rows % m, "m": m, "bits": min(bits, self.config.bits)}
            sets = " ".join(f"--set opq.{k}={v}" for k, v in fewer.items() if v != getattr(self.config, k))
            hint = f"{hint}, or {sets}"
        raise ConfigError(
            f"opq: a rotation to {self.reduced} dimensions needs as many training rows, found {rows}", hint=hint
        )

    def encode(self, x_ND: ArrayLike) -> Codes:
        rows_ND = prepare(x_ND, self.dim, self.metric)
        centroids_MKd, rotation_ED = self._trained()
        rotated_NE = rotations.apply({"rotation": rotation_ED}, rows_ND)
        return bit_packing.pack(product.assign(rotated_NE, centroids_MKd), self.config.bits)

    def decode(self, codes_NC: Codes) -> Vectors:
        centroids_MKd, rotation_ED = self._trained()
        return rotations.undo({"rotation": rotation_ED}, product.decode(codes_NC, centroids_MKd, self.config.bits))

    def scores(self, queries_QD: ArrayLike, codes_NC: Codes) -> Scores:
        centroids_MKd, rotation_ED = self._trained()
        queries_QD = prepare(queries_QD, self.dim, self.metric, "queries")
        rotated_QE = dot(queries_QD, rotation_ED)
        found_QN = product.scores(rotated_QE, codes_NC, centroids_MKd, self.config.bits, self.metric)
        return found_QN - self._outside(queries_QD, rotated_QE)

    def search(self, queries_QD: ArrayLike, codes_NC: Codes, k: int) -> tuple[Scores, Rows]:
        return self._search(queries_QD, codes_NC, k, fast=False)

    def search_fast(self, queries_QD: ArrayLike, codes_NC: Codes, k: int) -> tuple[Scores, Rows]:
        """As `search`, but rows near rank k may be missed. Raises ConfigError unless bits = 4."""
        fast_scan.check("opq", self.config.bits)
        return self._search(queries_QD, codes_NC, k, fast=True)

    def _search(self, queries_QD: ArrayLike, codes_NC: Codes, k: int, *, fast: bool) -> tuple[Scores, Rows]:
        centroids_MKd, rotation_ED = self._trained()
        queries_QD = prepare(queries_QD, self.dim, self.metric, "queries")
        rotated_QE = dot(queries_QD, rotation_ED)
        index = faiss_tools.pq_index(centroids_MKd, self.config.bits, self.metric)
        find = fast_scan.search if fast else search_by_faiss
        scores_Qk, rows_Qk = find(index, rotated_QE, codes_NC, k, negate=self.metric == "l2")
        return scores_Qk - self._outside(queries_QD, rotated_QE), rows_Qk

    def faiss_index(self) -> object:
        """The empty trained faiss index of these codes, its rotation attached."""
        centroids_MKd, rotation_ED = self._trained()
        return faiss_tools.add_rotation(faiss_tools.pq_index(centroids_MKd, self.config.bits, self.metric), rotation_ED)

    def _outside(self, queries_QD: Vectors, rotated_QE: Vectors) -> Scores:
        """Squared length of the query outside the rotated subspace [Q, 1]: part of every L2 distance; 0 otherwise."""
        if self.metric != "l2" or self.reduced == self.dim:
            return np.zeros((len(queries_QD), 1), np.float32)
        lost_Q = (queries_QD.astype(np.float64) ** 2).sum(1) - (rotated_QE.astype(np.float64) ** 2).sum(1)
        outside_Q: Scores = np.maximum(lost_Q, 0).astype(np.float32)
        return outside_Q[:, None]

    def _trained(self) -> tuple[Vectors, Vectors]:
        """(centroids, rotation)."""
        return store.require_trained("opq", self.centroids_MKd), store.require_trained("opq", self.rotation_ED)

    def save(self, folder: Path) -> None:
        centroids_MKd, rotation_ED = self._trained()
        arrays = {"centroids": centroids_MKd, "rotation": rotation_ED}
        store.save(folder, "opq", self, arrays, made_with=faiss_tools.versions())

    @classmethod
    def load(cls, folder: Path) -> Quantizer:
        quantizer, arrays = store.load(folder, "opq", cls, Config)
        quantizer.centroids_MKd, quantizer.rotation_ED = arrays["centroids"], arrays["rotation"]
        return quantizer
