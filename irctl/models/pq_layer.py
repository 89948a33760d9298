"""Product quantization as a torch layer: a fixed rotation, centroids that are trained, codes chosen without gradient.

A code is the nearest centroid of each slice of the rotated vector. How the gradient passes that choice: `decode` and
`lut_scores` are ordinary functions of the centroids, the codes being constants; `straight_through` has the value of the
decoded vector and hands its whole gradient to the vector and to the chosen centroids alike.

Dimension key: N vectors, D dimensions, E rotated dimensions (mostly D), M slices, K centroids a slice, d = E / M,
B queries, k candidates of a query.
Source: straight-through estimator, van den Oord et al. 2017, arXiv 1711.00937; as used here, RepCONC, arXiv 2110.05789.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

BLOCK_ROWS = 16_384
"""Rows whose distances [rows, K] of one slice are held at once: 16 MB at 256 centroids."""


class PqLayer(nn.Module):
    """rotation_ED: orthonormal rows, a buffer. centroids_MKd: the parameter `centroids`, M d = E, K at most 256.

    Computes in the type of its centroids, whatever autocast says. Arguments called rotated are `rotate`'s.
    """

    rotation: Tensor
    centroids: nn.Parameter

    def __init__(self, rotation_ED: Tensor, centroids_MKd: Tensor) -> None:
        super().__init__()
        slices, k, d = centroids_MKd.shape
        assert rotation_ED.shape[0] == slices * d and k <= 256, (rotation_ED.shape, centroids_MKd.shape)
        self.register_buffer("rotation", rotation_ED.detach().clone())
        self.centroids = nn.Parameter(centroids_MKd.detach().clone())

    def rotate(self, x_ND: Tensor) -> Tensor:
        """x R^T [N, E], with gradient to x."""
        with torch.autocast(x_ND.device.type, enabled=False):
            return x_ND.to(self.rotation.dtype) @ self.rotation.T

    @torch.no_grad()
    def assign(self, rotated_NE: Tensor) -> Tensor:
        """Codes uint8 [N, M]: the nearest centroids, the lower number where two are equally near."""
        rows = len(rotated_NE)
        codes_NM = torch.empty(rows, len(self.centroids), dtype=torch.uint8, device=rotated_NE.device)
        for start in range(0, rows, BLOCK_ROWS):
            block_BE = rotated_NE[start : start + BLOCK_ROWS]
            for m, distances_BK in enumerate(self.distances(block_BE)):
                codes_NM[start : start + BLOCK_ROWS, m] = distances_BK.argmin(1).to(torch.uint8)
        return codes_NM

    @torch.no_grad()
    def distances(self, rotated_NE: Tensor) -> Iterator[Tensor]:
        """Slice after slice, |c|^2 - 2 <x, c> [N, K]: squared distances but for |x|^2, which orders nothing."""
        d = self.centroids.shape[2]
        for m, centroids_Kd in enumerate(self.centroids):
            with torch.autocast(rotated_NE.device.type, enabled=False):
                slice_Nd = rotated_NE[:, m * d : (m + 1) * d].to(centroids_Kd.dtype)
                yield torch.addmm(centroids_Kd.square().sum(1), slice_Nd, centroids_Kd.T, alpha=-2.0)

    def decode(self, codes_NM: Tensor) -> Tensor:
        """Centroids put together [..., E], in rotated space, of codes [..., M]; gradient to the chosen ones."""
        slices, _, d = self.centroids.shape
        chosen = nn.functional.embedding(self._places(codes_NM), self.centroids.reshape(-1, d))
        return chosen.reshape(*codes_NM.shape[:-1], slices * d)

    def straight_through(self, rotated_NE: Tensor, codes_NM: Tensor) -> Tensor:
        """Decoded vectors [N, E] in value; the gradient goes whole to the vectors and whole to the centroids."""
        return self.decode(codes_NM) + (rotated_NE - rotated_NE.detach())

    def tables(self, rotated_BE: Tensor) -> Tensor:
        """<q_m, c_mk> [B, M, K]: what a code of slice m adds to a query's score."""
        slices, _, d = self.centroids.shape
        with torch.autocast(rotated_BE.device.type, enabled=False):
            queries_BMd = rotated_BE.to(self.centroids.dtype).reshape(-1, slices, d)
            return torch.einsum("bmd,mkd->bmk", queries_BMd, self.centroids)

    def lut_scores(self, rotated_BE: Tensor, codes: Tensor) -> Tensor:
        """Inner products of queries and decoded vectors, with gradient to both.

        codes [B, k, M], each query's own candidates: sums over its table, [B, k], so B M K + B k M numbers. codes
        [N, M], candidates that all share: [B, N] by decoding them once, N E numbers, the same sum in another order.
        """
        with torch.autocast(rotated_BE.device.type, enabled=False):
            if codes.dim() == 2:
                return rotated_BE.to(self.centroids.dtype) @ self.decode(codes).T
            tables_BMK = self.tables(rotated_BE)
            places_BkM = self._places(codes)
            rows = places_BkM.shape[0]
            return tables_BMK.reshape(rows, -1).gather(1, places_BkM.reshape(rows, -1)).reshape(codes.shape).sum(2)

    def _places(self, codes: Tensor) -> Tensor:
        """Rows of the centroids [M x K, d] that codes [..., M] name."""
        slices, k, _ = self.centroids.shape
        return codes.long() + k * torch.arange(slices, device=codes.device)
