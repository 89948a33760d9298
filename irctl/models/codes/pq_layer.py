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
from typing import Any

import torch
from torch import Tensor, nn

BLOCK_ROWS = 16_384
"""Rows whose distances [rows, K] of one slice are held at once: 16 MB at 256 centroids."""
DECODED_ROWS = 2048
"""Candidates that all queries share, decoded at once: 6 MB at 768 dimensions."""


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
        return _decode(codes_NM, self.centroids)

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

        codes [B, k, M], each query's own candidates: sums over its table, [B, k], so B M K + B k numbers. codes
        [N, M], candidates that all share: [B, N] by decoding them a block at a time, the same sum in another order.
        """
        with torch.autocast(rotated_BE.device.type, enabled=False):
            if codes.dim() == 2:
                rotated_BE = rotated_BE.to(self.centroids.dtype)
                found = _DecodedProducts.apply(rotated_BE, self.centroids, codes)  # type: ignore[no-untyped-call]
            else:
                found = _TableSums.apply(self.tables(rotated_BE), codes)  # type: ignore[no-untyped-call]
            scores: Tensor = found
            return scores


def _places(codes: Tensor, centroids_MKd: Tensor) -> Tensor:
    """Rows of the centroids [M x K, d] that codes [..., M] name."""
    slices, k, _ = centroids_MKd.shape
    return codes.long() + k * torch.arange(slices, device=codes.device)


def _decode(codes_NM: Tensor, centroids_MKd: Tensor) -> Tensor:
    slices, _, d = centroids_MKd.shape
    chosen = nn.functional.embedding(_places(codes_NM, centroids_MKd), centroids_MKd.reshape(-1, d))
    return chosen.reshape(*codes_NM.shape[:-1], slices * d)


class _TableSums(torch.autograd.Function):
    """Sums [B, k] of what codes [B, k, M] name in tables [B, M, K], a slice at a time, as is the gradient.

    Written out because a gather over all slices at once holds their places as int64, and again for the way back: 30 MB
    of 128 queries with 200 candidates of 48 slices, where the codes take 1.2.
    """

    @staticmethod
    def forward(ctx: Any, tables_BMK: Tensor, codes_BkM: Tensor) -> Tensor:
        ctx.save_for_backward(codes_BkM)
        ctx.k = tables_BMK.shape[2]
        sums_Bk = tables_BMK.new_zeros(codes_BkM.shape[:2])
        for m in range(codes_BkM.shape[2]):
            sums_Bk += tables_BMK[:, m].gather(1, codes_BkM[..., m].long())
        return sums_Bk

    @staticmethod
    def backward(ctx: Any, gradient_Bk: Tensor) -> tuple[Tensor, None]:
        (codes_BkM,) = ctx.saved_tensors
        slices = codes_BkM.shape[2]
        # slice by slice in memory too, as the product that made the tables has it
        gradient_MBK = gradient_Bk.new_zeros(slices, len(gradient_Bk), ctx.k)
        for m in range(slices):
            gradient_MBK[m].scatter_add_(1, codes_BkM[..., m].long(), gradient_Bk)
        return gradient_MBK.transpose(0, 1), None


class _DecodedProducts(torch.autograd.Function):
    """Products [B, N] of queries with the decoded vectors of codes [N, M]: a block is decoded at a time, and again for
    the gradient. All of them at once are N E numbers, 49 MB for 16,000 rows of 768 dimensions, and again in backward.
    """

    @staticmethod
    def forward(ctx: Any, rotated_BE: Tensor, centroids_MKd: Tensor, codes_NM: Tensor) -> Tensor:
        ctx.save_for_backward(rotated_BE, centroids_MKd, codes_NM)
        products_BN = rotated_BE.new_empty(len(rotated_BE), len(codes_NM))
        for block, codes_nM in zip(
            torch.split(products_BN, DECODED_ROWS, 1), torch.split(codes_NM, DECODED_ROWS), strict=True
        ):
            block.copy_(rotated_BE @ _decode(codes_nM, centroids_MKd).T)
        return products_BN

    @staticmethod
    def backward(ctx: Any, gradient_BN: Tensor) -> tuple[Tensor, Tensor, None]:
        rotated_BE, centroids_MKd, codes_NM = ctx.saved_tensors
        slices, k, d = centroids_MKd.shape
        to_rotated_BE, to_centroids = torch.zeros_like(rotated_BE), centroids_MKd.new_zeros(slices * k, d)
        for gradient_Bn, codes_nM in zip(
            torch.split(gradient_BN, DECODED_ROWS, 1), torch.split(codes_NM, DECODED_ROWS), strict=True
        ):
            to_rotated_BE += gradient_Bn @ _decode(codes_nM, centroids_MKd)
            to_decoded = (gradient_Bn.T @ rotated_BE).reshape(*codes_nM.shape, d)
            places_nM = _places(codes_nM, centroids_MKd)
            to_centroids += torch.ops.aten.embedding_dense_backward(to_decoded, places_nM, slices * k, -1, False)
        return to_rotated_BE, to_centroids.reshape(slices, k, d), None
