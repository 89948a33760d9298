"""The codes of a bundle in a training: bytes that stay as they are, and centroids that are trained to score them.

Dimension key: N rows, C code bytes a row, M slices, K centroids a slice, d dimensions of a slice, D vector width,
E rotated width, U rows, B queries, k candidates of a query.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from irctl.errors import DataError
from irctl.index.bundle import Bundle
from irctl.models.codes.pq_layer import PqLayer
from irctl.quantizers.learned import Quantizer

BLOCK_ROWS = 65_536
"""Rows read at once from the mapped files, whose pages are then given back."""


class TrainedCodes(nn.Module):
    """layer: rotation and query-side centroids. Codes are held packed, N x C bytes, and unpacked where asked for."""

    codes_NC: Tensor
    low_M: Tensor
    high_M: Tensor
    shift_M: Tensor

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.start = Quantizer.from_product(bundle.quantizer)
        assert self.start.centroids_MKd is not None and self.start.rotation_ED is not None, "of_arrays checked them"
        trained = getattr(bundle.quantizer, "query_centroids_MKd", None)
        centroids_MKd = self.start.centroids_MKd if trained is None else trained
        if not centroids_MKd.any():
            raise DataError(
                f"{bundle.folder}: all centroids are 0: its vectors were", hint="Look at what was compressed, and why"
            )
        self.layer = PqLayer(torch.from_numpy(self.start.rotation_ED), torch.from_numpy(centroids_MKd))
        self.register_buffer("codes_NC", torch.from_numpy(_read(bundle)), persistent=False)
        bits = self.start.config.bits
        first_M = torch.arange(self.start.config.m) * bits
        self.register_buffer("low_M", first_M // 8, persistent=False)
        self.register_buffer("high_M", (first_M // 8 + 1).clamp(max=bundle.code_size - 1), persistent=False)
        self.register_buffer("shift_M", (first_M % 8).int(), persistent=False)

    def __len__(self) -> int:
        return len(self.codes_NC)

    def unpack(self, rows: Tensor | None = None) -> Tensor:
        """Codes uint8 [..., M] of rows [...], or of all. A slice's bits lie in one byte or in two neighbours."""
        packed = self.codes_NC if rows is None else self.codes_NC[rows]
        bits = self.start.config.bits
        if bits == 8:
            return packed
        pairs = packed[..., self.low_M].int() | (packed[..., self.high_M].int() << 8)
        return ((pairs >> self.shift_M) & ((1 << bits) - 1)).to(torch.uint8)

    def scores(self, queries_BD: Tensor, codes: Tensor) -> Tensor:
        """Scores of mapped queries, with gradient: [B, U] of codes [U, M] that all share, [B, k] of codes [B, k, M]."""
        return self.layer.lut_scores(self.layer.rotate(queries_BD), codes)

    @property
    def size(self) -> float:
        """Root mean square of the centroids' entries: learning rates of Adam are steps in their unit."""
        return float(self.layer.centroids.detach().square().mean().sqrt())

    def adapter_lr(self, asked: float, share: float, centroid_lr: float) -> float:
        """That of a linear map of queries; 0: a share of the centroids', which have a unit as the map has none."""
        return asked or share * centroid_lr / (self.size * self.layer.rotation.shape[1] ** 0.5)

    def quantizer(self, query_map_DD: Any = None) -> Quantizer:
        """What a bundle keeps: the document side as it was, the query side as it is now."""
        centroids_MKd = self.layer.centroids.detach().cpu().float().numpy()
        return self.start.replace_query_side(centroids_MKd, query_map_DD)


def _read(bundle: Bundle) -> np.ndarray[Any, np.dtype[np.uint8]]:
    codes_NC = np.empty((bundle.rows, bundle.code_size), np.uint8)
    for start, block_BC in bundle.blocks(BLOCK_ROWS):
        codes_NC[start : start + len(block_BC)] = block_BC
    return codes_NC
