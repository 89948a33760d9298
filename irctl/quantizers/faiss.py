"""Any faiss index that has codes, by its factory string: residual and additive quantizers, TurboQuant, IVF.

Rows are encoded and decoded by faiss and scored exactly against the decoded rows, so inner product needs no norm
options and IVF lists are scanned whole. An IVF code begins with its list number. RaBitQ is refused: faiss decodes its
sign bits only (use --method rabitq). The trained index is kept as one array of faiss's own bytes, which opens in this
faiss or newer.
Dimension key: N vectors, D dimensions, C code bytes a vector, Q queries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from irctl.errors import ConfigError, DataError
from irctl.index.arrays import as_codes
from irctl.index.scoring import check_metric
from irctl.quantizers.shared import blocks, faiss_tools, half_floats, store
from irctl.quantizers.shared.search import Codes, Vectors, decoded_scorer, prepare, score_decoded, search_decoded

BYTES = {"SQ8_direct": (0, 255), "SQ8_direct_signed": (-128, 127)}
"""Strings whose codes are the values themselves, as whole numbers: faiss lets those beyond these bounds wrap around."""


@dataclass(frozen=True, kw_only=True)
class Config:
    factory: str = ""  # faiss factory string, such as RQ8x8, LSQ8x8, PRQ2x4x8, SQtqmse4, OPQ16,PQ16x8np, IVF64,SQ8


def check_factory(factory: str) -> None:
    """ConfigError for strings whose codes faiss cannot decode one by one, with what to use in their place."""
    if found := re.search(r"RaBitQ(\d*)", factory):
        hint = f"--method rabitq --set rabitq.bits={found[1] or 1}; it has no IVF lists and scans all rows"
        raise ConfigError(f"faiss.factory: {factory}: RaBitQ has its own method", hint=hint)
    alone = f"faiss.factory: {factory} has no codes that stand alone"
    if found := re.search(r"(?<![A-Z])(OPQ\d+[\d_]*,)?PQ(\d+)x4fs\w*$", factory):
        method = "opq" if found[1] else "pq"
        keys = f"--set {method}.m={found[2]} --set {method}.bits=4"
        if factory == found[0]:  # the codes in flat order, which a search packs for the fast scan
            raise ConfigError(alone, hint=f"--method {method} {keys}, searched with search.fastscan=true")
        plain = factory[: factory.rindex("fs")]
        raise ConfigError(alone, hint=f"Drop fs: {plain}; the fast scan is for --method pq and opq")
    if re.search(r"IDMap|Refine|fsr?(_\d+)?$|\+\d+\w*$", factory):
        raise ConfigError(alone, hint="Drop that part")

    if "_direct" in factory and factory not in BYTES:
        what = "SQ8_direct keeps whole numbers of one byte, and what stands before it makes others of them"
        raise ConfigError(f"faiss.factory: {factory}: {what}", hint=f"Take {factory.partition('_direct')[0]}")


class Quantizer:
    """Trained by faiss with its own seeds."""

    train_rows = None  # faiss draws its own sample

    def __init__(self, config: Config, dim: int, metric: str = "ip", seed: int = 42) -> None:
        self.config, self.dim, self.metric, self.seed = config, dim, check_metric(metric), seed
        check_factory(config.factory)
        self.warnings: list[str] = []  # what faiss had to say in training, and `encode`
        self._index_of_codes = faiss_tools.from_factory(config.factory, dim, metric)
        self.code_size = faiss_tools.code_size(self._index_of_codes, config.factory)

    def fit(self, x_ND: ArrayLike) -> None:
        rows_ND = prepare(x_ND, self.dim, self.metric)
        if not len(rows_ND):
            raise DataError("faiss: expected rows to train on, found none")
        factory = self.config.factory
        self.warnings = faiss_tools.train(self._index_of_codes, rows_ND, factory)
        faiss_tools.check_usable(self._index_of_codes, rows_ND[:1], factory)

    def encode(self, x_ND: ArrayLike) -> Codes:
        rows_ND = prepare(x_ND, self.dim, self.metric)
        index = self.faiss_index()
        if bounds := BYTES.get(self.config.factory):
            rows_ND = self._within(rows_ND, *bounds)
        out_NC = np.empty((len(rows_ND), self.code_size), np.uint8)

        def work(block_BD: Vectors, rows: slice) -> None:
            with faiss_tools.limit_to_one_thread():
                out_NC[rows] = index.sa_encode(block_BD)[: rows.stop - rows.start]

        blocks.run_blocks(rows_ND, work)
        half_floats.clamp_codes(out_NC, faiss_tools.locate_halves(index), "faiss", self.warnings)
        return out_NC

    def _within(self, rows_ND: Vectors, low: int, high: int) -> Vectors:
        within_ND: Vectors = np.clip(rows_ND, low, high)
        said = f"faiss: values beyond {low} to {high} are kept as {low} or {high}; SQ8 fits its range to the rows"
        if said not in self.warnings and (within_ND != rows_ND).any():
            self.warnings.append(said)
        return within_ND

    def decode(self, codes_NC: Codes) -> Vectors:
        return faiss_tools.decode(self.faiss_index(), as_codes(codes_NC, self.code_size))

    scorer, scores, search = decoded_scorer, score_decoded, search_decoded

    def faiss_index(self) -> Any:
        """The empty trained faiss index of these codes."""
        if not self._index_of_codes.is_trained:
            raise DataError("faiss: not trained", hint="Call fit, or load a trained one")
        return self._index_of_codes

    def save(self, folder: Path) -> None:
        array = faiss_tools.to_array(self.faiss_index())
        store.save(folder, "faiss", self, {"index": array}, made_with=faiss_tools.versions())

    @classmethod
    def load(cls, folder: Path) -> Quantizer:
        quantizer, arrays = store.load(folder, "faiss", cls, Config)
        quantizer._index_of_codes = faiss_tools.from_array(arrays["index"])
        return quantizer
