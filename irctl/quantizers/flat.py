"""No compression: the floats themselves, in half or single precision. The baseline of every table.

Dimension key: N vectors, D dimensions, C code bytes a vector (2 D or 4 D), Q queries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from irctl.errors import ConfigError
from irctl.index.arrays import as_codes
from irctl.index.scoring import check_metric
from irctl.quantizers.shared import half_floats, store
from irctl.quantizers.shared.search import Codes, Vectors, decoded_scorer, prepare, score_decoded, search_decoded


@dataclass(frozen=True, kw_only=True)
class Config:
    # float16 (2 bytes a dimension) or float32 (4)
    dtype: str = field(default="float16", metadata={"choices": ("float16", "float32")})

    def __post_init__(self) -> None:
        if self.dtype not in self.__dataclass_fields__["dtype"].metadata["choices"]:
            raise ConfigError(f"flat.dtype: expected float16 or float32, found {self.dtype!r}")


class Quantizer:
    """Values beyond the range of float16 become its largest value; `warnings` says so."""

    def __init__(self, config: Config, dim: int, metric: str = "ip", seed: int = 42) -> None:
        self.config, self.dim, self.metric, self.seed = config, dim, check_metric(metric), seed
        self._dtype = np.dtype("<f2" if config.dtype == "float16" else "<f4")
        self.code_size = dim * self._dtype.itemsize
        self.train_rows = half_floats.LOOKED_AT if config.dtype == "float16" else 0  # rows that training can use
        self.warnings: list[str] = []  # what `fit` or `encode` has to say

    def fit(self, x_ND: ArrayLike) -> None:
        self.encode(x_ND)

    def encode(self, x_ND: ArrayLike) -> Codes:
        rows_ND = prepare(x_ND, self.dim, self.metric)
        half = self.config.dtype == "float16"
        values_ND = half_floats.to_halves(rows_ND, "flat", self.warnings) if half else rows_ND.astype(self._dtype)
        return values_ND.view(np.uint8).reshape(len(rows_ND), self.code_size)

    def decode(self, codes_NC: Codes) -> Vectors:
        codes_NC = as_codes(codes_NC, self.code_size)
        return codes_NC.view(self._dtype).reshape(len(codes_NC), self.dim).astype(np.float32)

    scorer, scores, search = decoded_scorer, score_decoded, search_decoded

    def faiss_index(self) -> object:
        """The empty faiss index of these codes."""
        from irctl.quantizers.shared import faiss_tools

        return faiss_tools.flat_index(self.dim, self.metric, half=self.config.dtype == "float16")

    def save(self, folder: Path) -> None:
        store.save(folder, "flat", self, {})

    @classmethod
    def load(cls, folder: Path) -> Quantizer:
        return store.load(folder, "flat", cls, Config)[0]
