"""What every regularizer does to its rows first: refuse too few, and go on in a type that has the digits.

Dimension key: N gathered rows, D dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from irctl.errors import DataError
from irctl.metrics.vectors.moments import FEWEST


def take(name: str, z_ND: Tensor) -> Tensor:
    """The rows in float32, or in float64 as they come. Raises DataError for fewer than three.

    Callers go on with autocast off: float16 loses a squared distance of norms near 20, and a sum over pairs.
    """
    if z_ND.ndim != 2 or len(z_ND) < FEWEST:
        found = tuple(z_ND.shape)
        raise DataError(
            f"{name}: expected at least {FEWEST} rows of vectors [N, D], found {found}", hint="A larger batch"
        )
    return z_ND if z_ND.dtype == torch.float64 else z_ND.float()


def exact(z_ND: Tensor) -> torch.autocast:
    """A region in which products keep the type of their operands."""
    return torch.autocast(z_ND.device.type, enabled=False)


def unit(x_ND: Tensor) -> Tensor:
    """Rows of length 1; a zero row stays."""
    return normalize(x_ND, dim=1)


def centred(x_ND: Tensor) -> Tensor:
    return x_ND - x_ND.mean(0, keepdim=True)


def covariance_moments(x_ND: Tensor) -> tuple[Tensor, Tensor]:
    """(tr C, ||C||_F^2) of the covariance C over N - 1; by the Gram matrix where that is the smaller one."""
    c_ND = centred(x_ND) / (len(x_ND) - 1) ** 0.5
    product = c_ND @ c_ND.T if len(x_ND) < x_ND.shape[1] else c_ND.T @ c_ND
    return product.diagonal().sum(), product.square().sum()


def pair_cosines(x_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over pairs i != j of the cosine, and of its square."""
    cos_NN = unit(x_ND) @ unit(x_ND).T
    cos_NN = cos_NN - torch.diag(cos_NN.diagonal())
    pairs = len(x_ND) * (len(x_ND) - 1)
    return cos_NN.sum() / pairs, cos_NN.square().sum() / pairs
