"""Product quantization: each of m slices of a vector is named by its nearest of 2^bits centroids.

Jegou et al. 2011, Product Quantization for Nearest Neighbor Search. Training is faiss's k-means; assignment is ours:
nearest centroid = largest <x, c> - |c|^2 / 2, a matrix product a slice, about three times faster than faiss's.
Dimension key: N vectors, D dimensions, M slices (m), K = 2^bits centroids a slice, d = D / M, C code bytes, Q queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from numpy.typing import ArrayLike

from irctl.errors import ConfigError
from irctl.index.scoring import check_metric
from irctl.index.topk import Rows, Scores
from irctl.quantizers.shared import bit_packing, faiss_tools, fast_scan, product, store
from irctl.quantizers.shared.search import Codes, Vectors, prepare, search_by_faiss


@dataclass(frozen=True, kw_only=True)
class Config:
    m: int = 16  # slices; D must be a multiple
    bits: int = 8  # bits a slice, 1 to 16
    iterations: int = 25  # rounds of k-means
    points_per_centroid: int = 256  # training rows used: at most so many a centroid

    def __post_init__(self) -> None:
        if self.m < 1:
            raise ConfigError(f"pq.m: expected at least 1, found {self.m}")
        if not 1 <= self.bits <= 16:
            raise ConfigError(f"pq.bits: expected 1 to 16, found {self.bits}", hint="8 is usual")
        if self.iterations < 1 or self.points_per_centroid < 1:
            raise ConfigError("pq.iterations and pq.points_per_centroid: expected at least 1")


class Quantizer:
    """Codes are little-endian bit streams of slice numbers, as faiss lays them out."""

    def __init__(self, config: Config, dim: int, metric: str = "ip", seed: int = 42) -> None:
        product.check_slices("pq", dim, config.m)
        self.config, self.dim, self.metric, self.seed = config, dim, check_metric(metric), seed
        self.code_size = bit_packing.count_bytes(config.m, config.bits)
        self.train_rows = config.points_per_centroid << config.bits
        self.warnings: list[str] = []  # what `fit` has to say
        self.centroids_MKd: Vectors | None = None

    def fit(self, x_ND: ArrayLike) -> None:
        rows_ND = prepare(x_ND, self.dim, self.metric)
        self.warnings = product.check_rows("pq", len(rows_ND), self.config.bits)
        self.centroids_MKd = faiss_tools.train_pq(
            rows_ND,
            self.config.m,
            self.config.bits,
            iterations=self.config.iterations,
            points_per_centroid=self.config.points_per_centroid,
            seed=self.seed,
        )

    def encode(self, x_ND: ArrayLike) -> Codes:
        rows_ND = prepare(x_ND, self.dim, self.metric)
        return bit_packing.pack(product.assign(rows_ND, self._centroids()), self.config.bits)

    def decode(self, codes_NC: Codes) -> Vectors:
        return product.decode(codes_NC, self._centroids(), self.config.bits)

    def scores(self, queries_QD: ArrayLike, codes_NC: Codes) -> Scores:
        queries_QD = prepare(queries_QD, self.dim, self.metric, "queries")
        return product.scores(queries_QD, codes_NC, self._centroids(), self.config.bits, self.metric)

    def search(self, queries_QD: ArrayLike, codes_NC: Codes, k: int) -> tuple[Scores, Rows]:
        queries_QD = prepare(queries_QD, self.dim, self.metric, "queries")
        return search_by_faiss(self.faiss_index(), queries_QD, codes_NC, k, negate=self.metric == "l2")

    def search_fast(self, queries_QD: ArrayLike, codes_NC: Codes, k: int) -> tuple[Scores, Rows]:
        """As `search`, but rows near rank k may be missed. Raises ConfigError unless bits = 4."""
        fast_scan.check("pq", self.config.bits)
        queries_QD = prepare(queries_QD, self.dim, self.metric, "queries")
        return fast_scan.search(self.faiss_index(), queries_QD, codes_NC, k, negate=self.metric == "l2")

    def faiss_index(self) -> object:
        """The empty trained faiss index of these codes."""
        return faiss_tools.pq_index(self._centroids(), self.config.bits, self.metric)

    def _centroids(self) -> Vectors:
        return store.require_trained("pq", self.centroids_MKd)

    def save(self, folder: Path) -> None:
        store.save(folder, "pq", self, {"centroids": self._centroids()}, made_with=faiss_tools.versions())

    @classmethod
    def load(cls, folder: Path) -> Quantizer:
        quantizer, arrays = store.load(folder, "pq", cls, Config)
        quantizer.centroids_MKd = arrays["centroids"]
        return quantizer
