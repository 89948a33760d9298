"""Sign bits: one bit a dimension, the query kept in floats. 48 bytes at 384 dimensions.

A row is b in {-1, +1}^D, b_d = +1 where x_d >= t_d, of x or of R x. Its score is <q, b> = sum over d of q_d b_d (of a
query of length 1 for cosine, minus |q - b|^2 for l2): q is neither shifted by t nor rounded. That keeps far more than
the Hamming distance of two sign vectors (Gordo et al. 2014, Asymmetric Distances for Binary Embeddings, TPAMI 36),
which query=binary takes: D - 2 H of sign(q - t) and b, as in BPR (Yamada et al. 2021, arXiv 2106.00882).
Scores order the rows of one query; they estimate no similarity, and a decoded row is b, not a reconstruction.

Eight signs are a byte and four are half of one, so these codes are also those of product quantization whose centroids
are all patterns of signs: its scans and faiss's index serve them.
Dimension key: N vectors, D dimensions, C code bytes (ceil(D / 8), least bit first), Q queries, P patterns of d signs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from irctl.errors import ConfigError, DataError
from irctl.index.arrays import as_codes
from irctl.index.scoring import check_metric, score_rows
from irctl.index.topk import Rows, Scores
from irctl.quantizers.shared import bit_packing, faiss_tools, fast_scan, rotations, store
from irctl.quantizers.shared.search import Codes, Vectors, prepare, search_by_faiss


@dataclass(frozen=True, kw_only=True)
class Config:
    # zero, or the median of each dimension over the training rows
    threshold: str = field(default="zero", metadata={"choices": ("zero", "median")})
    # float (scores sum q_d over the signs) or binary (Hamming distance of the signs of both)
    query: str = field(default="float", metadata={"choices": ("float", "binary")})
    rotate: bool = False  # a random rotation before the signs, drawn by run.seed

    def __post_init__(self) -> None:
        for name in ("threshold", "query"):
            choices, found = self.__dataclass_fields__[name].metadata["choices"], getattr(self, name)
            if found not in choices:
                raise ConfigError(f"binary.{name}: expected {' or '.join(choices)}, found {found!r}")


class Quantizer:
    ranks_only = True  # its scores and decoded rows are on another scale than the vectors'

    def __init__(self, config: Config, dim: int, metric: str = "ip", seed: int = 42) -> None:
        self.config, self.dim, self.metric, self.seed = config, dim, check_metric(metric), seed
        self.code_size = bit_packing.count_bytes(dim, 1)
        self.train_rows = None if config.threshold == "median" else 0
        self.thresholds_D: Vectors | None = None
        self._rotation: dict[str, Vectors] = {}

    def fit(self, x_ND: ArrayLike) -> None:
        rows_ND = prepare(x_ND, self.dim, self.metric)
        self._rotation = rotations.make("auto" if self.config.rotate else "none", self.dim, self.seed)
        if self.config.threshold == "zero":
            self.thresholds_D = np.zeros(self.dim, np.float32)
            return
        if not len(rows_ND):
            raise DataError("binary: expected rows to take the medians of, found none")
        self.thresholds_D = np.median(rotations.apply(self._rotation, rows_ND), axis=0).astype(np.float32)

    def encode(self, x_ND: ArrayLike) -> Codes:
        rows_ND, thresholds_D = prepare(x_ND, self.dim, self.metric), self._thresholds()
        out_NC = np.empty((len(rows_ND), self.code_size), np.uint8)

        def work(block_BD: Vectors, rows: slice) -> None:
            signs_BC = np.packbits(block_BD >= thresholds_D, axis=1, bitorder="little")
            out_NC[rows] = signs_BC[: rows.stop - rows.start]

        rotations.apply_by_block(self._rotation, rows_ND, work)
        return out_NC

    def decode(self, codes_NC: Codes) -> Vectors:
        """The signs, rotated back: their product with a query is its score."""
        return rotations.undo(self._rotation, self._signs(codes_NC))

    def scores(self, queries_QD: ArrayLike, codes_NC: Codes) -> Scores:
        metric = "l2" if self.metric == "l2" else "ip"
        return score_rows(self._asked(self._turn(queries_QD)), self._signs(codes_NC), metric)

    def search(self, queries_QD: ArrayLike, codes_NC: Codes, k: int) -> tuple[Scores, Rows]:
        rotated_QD = self._turn(queries_QD)
        if self.config.query == "float":
            return search_by_faiss(self._product(8), rotated_QD, codes_NC, k, negate=self.metric == "l2")
        factor, most = (4, 0) if self.metric == "l2" else (2, self.dim)

        def finish(found_qa: Scores, _: NDArray[np.int64]) -> Scores:
            return found_qa * np.float32(factor) + np.float32(most)

        return search_by_faiss(self._hamming(), rotated_QD, codes_NC, k, negate=True, finish=finish)

    def search_fast(self, queries_QD: ArrayLike, codes_NC: Codes, k: int) -> tuple[Scores, Rows]:
        """As `search`, but rows near rank k may be missed. Raises ConfigError unless 8 divides D."""
        if self.dim % 8:
            raise ConfigError(
                f"search.fastscan: binary codes need a multiple of 8 dimensions, these have {self.dim}",
                hint="Leave it off",
            )
        asked_QD = self._asked(self._turn(queries_QD))
        return fast_scan.search(self._product(4), asked_QD, codes_NC, k, negate=self.metric == "l2")

    def faiss_index(self) -> object:
        """The empty trained faiss index of these codes, its rotation attached: it takes raw queries."""
        index = self._product(8) if self.config.query == "float" else self._hamming()
        if not self._rotation:
            return index
        return faiss_tools.add_rotation(index, rotations.matrix(self._rotation, self.dim))

    @property
    def faiss_differs(self) -> str:
        """What a reader of the faiss index has to know: its scores are not ours. Empty where they are."""
        if self.config.query == "float":
            return ""
        ours = "-4 H" if self.metric == "l2" else "D - 2 H"
        return f"faiss gives the Hamming distance H, smallest first, where irctl gives {ours}: the same ranking"

    def _turn(self, queries_QD: ArrayLike) -> Vectors:
        self._thresholds()
        return rotations.apply(self._rotation, prepare(queries_QD, self.dim, self.metric, "queries"))

    def _asked(self, rotated_QD: Vectors) -> Vectors:
        """The queries as they are multiplied with signs: as they are, or their own signs."""
        if self.config.query == "float":
            return rotated_QD
        return np.where(rotated_QD >= self._thresholds(), np.float32(1), np.float32(-1))

    def _signs(self, codes_NC: Codes) -> Vectors:
        bits_ND = bit_packing.unpack(as_codes(codes_NC, self.code_size), self.dim, 1)
        return np.where(bits_ND, np.float32(1), np.float32(-1))

    def _product(self, most: int) -> object:
        """Product quantization of the same codes, `most` signs a slice; one where they do not divide D."""
        d = 1 if self.dim % 8 else most
        patterns_Pd = np.unpackbits(np.arange(1 << d, dtype=np.uint8)[:, None], axis=1, bitorder="little", count=d)
        centroids_MPd = np.tile(patterns_Pd.astype(np.float32) * 2 - 1, (self.dim // d, 1, 1))
        return faiss_tools.pq_index(centroids_MPd, d, self.metric)

    def _hamming(self) -> object:
        return faiss_tools.sign_index(self._thresholds())

    def _thresholds(self) -> Vectors:
        return store.require_trained("binary", self.thresholds_D)

    def save(self, folder: Path) -> None:
        store.save(folder, "binary", self, {"thresholds": self._thresholds(), **self._rotation})

    @classmethod
    def load(cls, folder: Path) -> Quantizer:
        quantizer, arrays = store.load(folder, "binary", cls, Config)
        quantizer.thresholds_D = arrays.pop("thresholds")
        quantizer._rotation = arrays
        return quantizer
