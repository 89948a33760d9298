"""Scalar quantization: each dimension on its own even grid over the range seen in training.

Training by faiss, which knows two ranges: smallest to largest value, or between two quantiles. One outlier spoils a
dimension in the first case, most at 4 bits.
Dimension key: N vectors, D dimensions, C code bytes a vector (ceil(D bits / 8)), Q queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from irctl.errors import ConfigError, DataError
from irctl.index.arrays import as_codes
from irctl.index.scoring import check_metric
from irctl.quantizers.shared import faiss_tools, half_floats, store
from irctl.quantizers.shared.search import Codes, Vectors, decoded_scorer, prepare, score_decoded, search_decoded


@dataclass(frozen=True, kw_only=True)
class Config:
    bits: int = 8  # bits a dimension: 4, 6, 8, or 16 for half-precision floats
    clip_quantile: float = 0.0  # share of training values cut from each tail, in [0, 0.5)

    def __post_init__(self) -> None:
        if self.bits not in (4, 6, 8, 16):
            raise ConfigError(f"sq.bits: expected 4, 6, 8 or 16, found {self.bits}")
        if not 0 <= self.clip_quantile < 0.5:
            raise ConfigError(f"sq.clip_quantile: expected a share in [0, 0.5), found {self.clip_quantile}")
        if self.clip_quantile and self.bits == 16:
            raise ConfigError("sq.clip_quantile has no meaning at 16 bits (half-precision floats)", hint="Set it to 0")


class Quantizer:
    """code = floor((x - lowest) / range * (2^bits - 1)), clamped; decoded at the middle of its step."""

    def __init__(self, config: Config, dim: int, metric: str = "ip", seed: int = 42) -> None:
        self.config, self.dim, self.metric, self.seed = config, dim, check_metric(metric), seed
        self.code_size = (dim * config.bits + 7) // 8
        self.train_rows = half_floats.LOOKED_AT if config.bits == 16 else None
        self.warnings: list[str] = []  # what `fit` or `encode` has to say
        self._trained: Vectors | None = np.empty(0, np.float32) if config.bits == 16 else None

    def fit(self, x_ND: ArrayLike) -> None:
        rows_ND = prepare(x_ND, self.dim, self.metric)
        if self.config.bits == 16:
            half_floats.to_halves(rows_ND, "sq", self.warnings)
            return
        if not len(rows_ND):
            raise DataError("sq: expected rows to train on, found none")
        self._trained = faiss_tools.train_sq(rows_ND, self.config.bits, self.config.clip_quantile)

    def encode(self, x_ND: ArrayLike) -> Codes:
        rows_ND = prepare(x_ND, self.dim, self.metric)
        if self.config.bits == 16:
            halves_ND = half_floats.to_halves(rows_ND, "sq", self.warnings)
            return halves_ND.view(np.uint8).reshape(len(rows_ND), self.code_size)
        return faiss_tools.encode(self.faiss_index(), rows_ND)

    def decode(self, codes_NC: Codes) -> Vectors:
        codes_NC = as_codes(codes_NC, self.code_size)
        if self.config.bits == 16:
            return codes_NC.view("<f2").reshape(len(codes_NC), self.dim).astype(np.float32)
        return faiss_tools.decode(self.faiss_index(), codes_NC)

    scorer, scores, search = decoded_scorer, score_decoded, search_decoded

    def faiss_index(self) -> object:
        """The empty trained faiss index of these codes."""
        return faiss_tools.sq_index(self.dim, self.config.bits, self._ranges(), self.metric)

    def _ranges(self) -> Vectors:
        return store.require_trained("sq", self._trained)

    def save(self, folder: Path) -> None:
        store.save(folder, "sq", self, {"sq_trained": self._ranges()})

    @classmethod
    def load(cls, folder: Path) -> Quantizer:
        quantizer, arrays = store.load(folder, "sq", cls, Config)
        quantizer._trained = arrays["sq_trained"]
        return quantizer
