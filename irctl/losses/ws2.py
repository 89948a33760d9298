"""Squared 2-Wasserstein distance between two Gaussians: fitted to the softmax of scores and to the softmax of grades.

The B queries are samples of an N-dimensional vector. With A and Z the centred softmaxes over sqrt(B - 1):
loss = |mean X - mean Y|^2 + |A|_F^2 + |Z|_F^2 - 2 |A Z^T|_* (nuclear norm), equal to the trace form of the distance.
It is blind to which query is which: |A|^2 + |Z|^2 - 2 |A Z^T|_* = min over orthogonal R of |R A - Z|_F^2, so scores
that equal the labels shifted by one query give 0. It needs a good starting model. Larger batches flatten the targets
(more in-batch mass): label_temperature, loss.inbatch_label and loss.inbatch are the cures. Values are not comparable
between batch sizes, and the gradient shrinks with B: choose models by nDCG, and set batch_scale in mixtures.

Dimension key: B queries, N candidates (the same passage in a column of every row).
Source: SyCL, arXiv 2503.23239; distance: Dowson and Landau 1982 (the Frechet distance between normal distributions).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irctl.errors import ConfigError
from irctl.losses import _masked

AUTO_SPREAD = 1.0
VIEWS = ("all", "masked")


@dataclass(frozen=True, kw_only=True)
class Config:
    temperature: float = 1.0  # scores are divided by it, labels are not
    label_temperature: float = 1.0  # grades are divided by it before their softmax
    batch_scale: bool = False  # multiply by B, which undoes the shrinking of the gradient

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not self.label_temperature > 0:
            raise ConfigError(f"ws2: temperatures must be above 0, got {self.temperature} and {self.label_temperature}")


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """One scalar for the whole batch, not a mean of rows. With one row: squared distance of the two softmaxes.

    scores_BN: similarities, any float dtype. labels_BN: grades. mask_BN: False where a candidate must not count.
    Not differentiable where all rows are equal.
    """
    s_BN = _masked.scaled(scores_BN, config.temperature, mask_BN)
    y_BN = _masked.like(labels_BN, s_BN, mask_BN) / config.label_temperature
    x_BN, y_BN = _masked.softmax(s_BN, mask_BN), _masked.softmax(y_BN, mask_BN)
    rows = len(x_BN)
    a_BN = (x_BN - x_BN.mean(0)) / max(rows - 1, 1) ** 0.5
    z_BN = (y_BN - y_BN.mean(0)) / max(rows - 1, 1) ** 0.5
    gap = (x_BN.mean(0) - y_BN.mean(0)).square().sum()
    spread = a_BN.square().sum() + z_BN.square().sum() - 2 * _nuclear_norm(a_BN @ z_BN.T)
    total: Tensor = (gap + spread) * (rows if config.batch_scale else 1) + 0.0 * s_BN.sum()
    return total


def _nuclear_norm(m_BB: Tensor) -> Tensor:
    """Sum of singular values. The gradient is U V^T, also where singular values repeat, so U V^T is held constant."""
    if not torch.isfinite(m_BB).all():  # the decomposition would raise; a NaN loss is reported with its step
        return m_BB.sum() * torch.nan
    with torch.no_grad():
        # below 256 rows the CPU is faster than a GPU's decomposition and the copy both ways
        u_BB, _, vh_BB = torch.linalg.svd(m_BB.cpu() if len(m_BB) <= 256 else m_BB)
        rotation_BB = (u_BB @ vh_BB).to(m_BB.device)
    return torch.sum(m_BB * rotation_BB)
