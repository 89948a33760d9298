"""NeuralNDCG: 1 - nDCG over a soft permutation, NeuralSort's, made doubly stochastic by Sinkhorn's scaling.

Compares a query's own passages only: the permutation is K x K a query. A lower temperature comes closer to a real sort,
and to gradients of zero.

Dimension key: B queries, K candidates of a query, also ranks.
Source: Pobrotyn and Bialobrzeski 2021, arXiv 2102.07831; the soft sort: Grover et al. 2019, arXiv 1903.08850.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irctl.errors import ConfigError
from irctl.losses import _masked

AUTO_SPREAD = 3.0
LABELS = "gains"
VIEWS = ("own",)
SCALINGS = 50  # of columns and rows in turn, as in the paper
SMALLEST = 1e-10  # sums below it stay as they are: a candidate that no rank wants


@dataclass(frozen=True, kw_only=True)
class Config:
    temperature: float = 1.0  # scores are divided by it

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigError(f"neuralndcg: temperature must be above 0, got {self.temperature}")


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """1 - (1/IDCG) sum over ranks r of (P g)_r / log2(1 + r), P the soft permutation; mean over rows with a gain.

    scores_BN: similarities, any float dtype. labels_BN: grades. mask_BN: False where a candidate must not count.
    """
    s_BK = _masked.scaled(scores_BN, config.temperature, mask_BN)
    gain_BK = _masked.gain(_masked.like(labels_BN, s_BK, mask_BN), mask_BN)
    ideal_B = _masked.ideal_dcg(gain_BK)
    ranks_K = torch.arange(1, s_BK.shape[1] + 1, device=s_BK.device)
    sorted_BK = (soft_permutation(s_BK, mask_BN) * gain_BK[:, None, :]).sum(2)
    dcg_B = (sorted_BK / torch.log2(1.0 + ranks_K)).sum(1)
    return _masked.mean_of_rows(1 - dcg_B / ideal_B.masked_fill(ideal_B == 0, 1.0), ideal_B > 0, s_BK)


def soft_permutation(s_BK: Tensor, mask_BK: Tensor) -> Tensor:
    """[B, ranks, candidates], rows and columns of what counts sum to 1: how much a candidate stands at a rank."""
    count_B1 = mask_BK.sum(1, keepdim=True)
    ranks_K = torch.arange(1, s_BK.shape[1] + 1, device=s_BK.device)
    apart_BKK = (s_BK[:, :, None] - s_BK[:, None, :]).abs().masked_fill(~mask_BK[:, None, :], 0.0)
    logits_BKK = (count_B1 + 1 - 2 * ranks_K)[:, :, None] * s_BK[:, None, :] - apart_BKK.sum(2)[:, None, :]
    valid_BKK = mask_BK[:, None, :] & (ranks_K <= count_B1)[:, :, None]
    p_BKK = _masked.softmax(logits_BKK.flatten(0, 1), valid_BKK.flatten(0, 1)).view_as(logits_BKK)
    for _ in range(SCALINGS):
        for axis in (1, 2):
            total = p_BKK.sum(axis, keepdim=True)
            p_BKK = p_BKK / total.masked_fill(total < SMALLEST, 1.0)
    return p_BKK
