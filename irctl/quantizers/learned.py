"""Product codes with a query side of its own: what trained compression (repconc, jpq) leaves in a bundle's `pq/`.

Documents are coded by the nearest document-side centroids of x R^T, as OPQ codes them; codes are never rewritten. A
query is scored by the query-side centroids: <A q R^T, c_query[codes]>, A the query map. Without a training both sides
are one and A is the identity: then `fit` is the OPQ warm-up, bit for bit.
Zhan et al. 2021, Jointly Optimizing Query Encoder and Product Quantization (JPQ, arXiv 2108.00644); 2022, RepCONC.
Dimension key: N vectors, D dimensions, E rotated dimensions (D unless OPQ reduced them), M slices, K centroids a slice,
d = E / M, C code bytes, Q queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from irctl.errors import ConfigError, DataError
from irctl.index.scoring import check_metric, dot
from irctl.index.topk import Rows, Scores
from irctl.quantizers import opq
from irctl.quantizers.shared import bit_packing, faiss_tools, fast_scan, product, rotations, store
from irctl.quantizers.shared.search import Codes, Vectors, prepare, search_by_faiss

SIDES = ("doc", "query")
_ORTHOGONAL = 1e-3  # largest entry of R R^T - I; float32 training leaves 1e-6


@dataclass(frozen=True, kw_only=True)
class Config:
    m: int = 16  # slices; the rotated dimensions must be a multiple
    bits: int = 8  # bits a slice, 1 to 8

    def __post_init__(self) -> None:
        if self.m < 1 or not 1 <= self.bits <= 8:
            raise ConfigError(
                f"learned.m, learned.bits: expected m >= 1 and 1 to 8 bits, found {self.m} and {self.bits}"
            )


class Quantizer:
    """rotation_ED, centroids_MKd: document side. query_centroids_MKd, query_map_DD: query side, None where as that."""

    def __init__(self, config: Config, dim: int, metric: str = "ip", seed: int = 42) -> None:
        self.config, self.dim, self.metric, self.seed = config, dim, check_metric(metric), seed
        self._warm_up = opq.Config(m=config.m, bits=config.bits)
        self.code_size = bit_packing.count_bytes(config.m, config.bits)
        self.train_rows = max(self._warm_up.points, self._warm_up.points_per_centroid << config.bits)
        self.warnings: list[str] = []  # what `fit` has to say
        self.rotation_ED: Vectors | None = None
        self.centroids_MKd: Vectors | None = None
        self.query_centroids_MKd: Vectors | None = None
        self.query_map_DD: Vectors | None = None

    @classmethod
    def of_arrays(
        cls, rotation_ED: ArrayLike | None, centroids_MKd: ArrayLike, *, metric: str = "ip", seed: int = 42
    ) -> Quantizer:
        """One with these arrays as its document side. rotation: None is the identity. Raises DataError (`_check`)."""
        centroids = np.ascontiguousarray(centroids_MKd, np.float32)
        if centroids.ndim != 3:
            raise DataError(f"centroids: expected shape (slices, centroids, dimensions), found {centroids.shape}")
        m, k, d = centroids.shape
        rotation = np.eye(m * d, dtype=np.float32) if rotation_ED is None else rotation_ED
        rotation_2 = np.ascontiguousarray(rotation, np.float32)
        bits = k.bit_length() - 1
        if k != 1 << bits or not 1 <= bits <= 8:
            raise DataError(f"centroids: expected 2, 4, 8 ... 256 a slice, found {k}")
        made = cls(Config(m=m, bits=bits), rotation_2.shape[-1], metric, seed)
        made.rotation_ED, made.centroids_MKd = rotation_2, centroids
        made._check("arrays")
        return made

    @classmethod
    def from_product(cls, quantizer: Any) -> Quantizer:
        """The document side of a trained pq, opq or learned quantizer; its codes are this one's, bit for bit.

        Raises ConfigError for another kind, and for more than 8 bits a slice.
        """
        name, centroids_MKd = type(quantizer).__module__.rpartition(".")[2], getattr(quantizer, "centroids_MKd", None)
        if name not in ("pq", "opq", "learned"):
            raise ConfigError(f"{name}: has no centroids to train; expected pq, opq or learned codes")
        if quantizer.config.bits > 8:
            raise ConfigError(f"{name}.bits: learned codes have 1 to 8 bits a slice, found {quantizer.config.bits}")
        centroids_MKd = store.require_trained(name, centroids_MKd)
        rotation_ED = getattr(quantizer, "rotation_ED", None)
        return cls.of_arrays(rotation_ED, centroids_MKd, metric=quantizer.metric, seed=quantizer.seed)

    def replace_query_side(
        self, query_centroids_MKd: ArrayLike | None = None, query_map_DD: ArrayLike | None = None
    ) -> Quantizer:
        """A quantizer with the same document side, so the same codes, and this query side. None: that of documents,
        the identity. Raises DataError for arrays that do not fit.
        """
        rotation_ED, centroids_MKd = self._trained()
        made = Quantizer(self.config, self.dim, self.metric, self.seed)
        made.rotation_ED, made.centroids_MKd = rotation_ED, centroids_MKd
        if query_centroids_MKd is not None:
            made.query_centroids_MKd = np.ascontiguousarray(query_centroids_MKd, np.float32)
        if query_map_DD is not None:
            made.query_map_DD = np.ascontiguousarray(query_map_DD, np.float32)
        made._check("query side")
        return made

    @property
    def has_query_side(self) -> bool:
        """Whether queries are scored by other centroids than documents are coded by, or are mapped."""
        return self.query_centroids_MKd is not None or self.query_map_DD is not None

    def fit(self, x_ND: ArrayLike) -> None:
        warm_up = opq.Quantizer(self._warm_up, self.dim, self.metric, self.seed)
        warm_up.fit(x_ND)
        self.warnings = [line.replace("opq", "learned") for line in warm_up.warnings]
        self.rotation_ED, self.centroids_MKd = warm_up.rotation_ED, warm_up.centroids_MKd

    def encode(self, x_ND: ArrayLike) -> Codes:
        """Codes [N, C]: the nearest document-side centroids."""
        rows_ND = prepare(x_ND, self.dim, self.metric)
        rotation_ED, centroids_MKd = self._trained()
        rotated_NE = rotations.apply({"rotation": rotation_ED}, rows_ND)
        return bit_packing.pack(product.assign(rotated_NE, centroids_MKd), self.config.bits)

    def decode(self, codes_NC: Codes, side: str = "doc") -> Vectors:
        """Vectors [N, D] that the codes stand for.

        side: "doc", by the centroids that coded them; "query", those whose inner product with a raw query is its score
        (query-side centroids, the transposed query map folded in).
        """
        if side not in SIDES:
            raise ConfigError(f"side: expected doc or query, found {side!r}")
        rotation_ED, centroids_MKd = self._trained()
        if side == "doc":
            return rotations.undo({"rotation": rotation_ED}, product.decode(codes_NC, centroids_MKd, self.config.bits))
        decoded_NE = product.decode(codes_NC, self._query_centroids(), self.config.bits)
        return rotations.undo({"rotation": self._query_transform()}, decoded_NE)

    def scores(self, queries_QD: ArrayLike, codes_NC: Codes) -> Scores:
        """Scores [Q, N] of raw queries by the query side."""
        rotated_QE = self._rotate_queries(queries_QD)
        return product.scores(rotated_QE, codes_NC, self._query_centroids(), self.config.bits, self.metric)

    def search(self, queries_QD: ArrayLike, codes_NC: Codes, k: int) -> tuple[Scores, Rows]:
        return self._search(queries_QD, codes_NC, k, fast=False)

    def search_fast(self, queries_QD: ArrayLike, codes_NC: Codes, k: int) -> tuple[Scores, Rows]:
        """As `search`, but rows near rank k may be missed. Raises ConfigError unless bits = 4."""
        fast_scan.check("learned", self.config.bits)
        return self._search(queries_QD, codes_NC, k, fast=True)

    def _search(self, queries_QD: ArrayLike, codes_NC: Codes, k: int, *, fast: bool) -> tuple[Scores, Rows]:
        rotated_QE = self._rotate_queries(queries_QD)
        index = faiss_tools.pq_index(self._query_centroids(), self.config.bits, self.metric)
        find = fast_scan.search if fast else search_by_faiss
        return find(index, rotated_QE, codes_NC, k, negate=self.metric == "l2")

    def faiss_index(self) -> object:
        """The empty trained faiss index of these codes: one transform R A, then query-side centroids.

        It takes raw queries. It is for searching: what it encodes itself it codes by the query side.
        """
        index = faiss_tools.pq_index(self._query_centroids(), self.config.bits, self.metric)
        return faiss_tools.add_rotation(index, self._query_transform())

    def _rotate_queries(self, queries_QD: ArrayLike) -> Vectors:
        return dot(prepare(queries_QD, self.dim, self.metric, "queries"), self._query_transform())

    def _query_centroids(self) -> Vectors:
        return self._trained()[1] if self.query_centroids_MKd is None else self.query_centroids_MKd

    def _query_transform(self) -> Vectors:
        """R A [E, D]: one matrix for scores, searches and exported files, so that they agree."""
        rotation_ED = self._trained()[0]
        if self.query_map_DD is None:
            return rotation_ED
        return np.ascontiguousarray(rotation_ED.astype(np.float64) @ self.query_map_DD, np.float32)

    def _trained(self) -> tuple[Vectors, Vectors]:
        """(rotation, document-side centroids)."""
        return store.require_trained("learned", self.rotation_ED), store.require_trained("learned", self.centroids_MKd)

    def _arrays(self) -> dict[str, Vectors]:
        rotation_ED, centroids_MKd = self._trained()
        query = {"query_centroids": self.query_centroids_MKd, "query_map": self.query_map_DD}
        return {"rotation": rotation_ED, "centroids": centroids_MKd} | {
            name: array for name, array in query.items() if array is not None
        }

    def _check(self, where: object) -> None:
        """DataError for arrays of another shape or kind than the settings say; l2 takes no reduction and no map."""
        arrays = self._arrays()
        rotation_ED, (m, k) = arrays["rotation"], (self.config.m, 1 << self.config.bits)
        rotated = rotation_ED.shape[0]
        if rotation_ED.ndim != 2 or rotation_ED.shape[1] != self.dim or rotated > self.dim or rotated % m:
            raise DataError(
                f"{where}: rotation: expected (E, {self.dim}), E a multiple of {m}, found {rotation_ED.shape}"
            )
        shapes: dict[str, tuple[int, ...]] = {"query_map": (self.dim, self.dim)}
        shapes |= dict.fromkeys(("centroids", "query_centroids"), (m, k, rotated // m))
        for name, array in arrays.items():
            if array.dtype != np.float32 or array.shape != shapes.get(name, array.shape):
                raise DataError(
                    f"{where}: {name}: expected float32 {shapes.get(name, '')}, found {array.dtype} {array.shape}"
                )
            if not np.isfinite(array).all():
                raise DataError(f"{where}: {name}: holds NaN or infinity", hint="Its training failed: train again")
        product_EE = rotation_ED.astype(np.float64) @ rotation_ED.T.astype(np.float64)
        if (off := float(np.abs(product_EE - np.eye(rotated)).max(initial=0))) > _ORTHOGONAL:
            raise DataError(f"{where}: rotation: expected orthogonal rows (R R^T = I), found entries off by {off:.3g}")
        if self.metric == "l2" and (rotated != self.dim or self.query_map_DD is not None):
            what = "a query map" if rotated == self.dim else f"a rotation to {rotated} of {self.dim} dimensions"
            raise DataError(f"{where}: {what} has no meaning for l2", hint="Compress with compress.metric=ip or cosine")

    def save(self, folder: Path) -> None:
        store.save(folder, "learned", self, self._arrays(), made_with=faiss_tools.versions())

    @classmethod
    def load(cls, folder: Path) -> Quantizer:
        quantizer, arrays = store.load(folder, "learned", cls, Config)
        if missing := {"rotation", "centroids"} - arrays.keys():
            raise DataError(f"{folder}: no array {', '.join(sorted(missing))}", hint="Train again")
        quantizer.rotation_ED, quantizer.centroids_MKd = arrays["rotation"], arrays["centroids"]
        quantizer.query_centroids_MKd, quantizer.query_map_DD = arrays.get("query_centroids"), arrays.get("query_map")
        quantizer._check(folder)
        return quantizer
