"""ADR-MSE: smooth ranks follow the ranks by label, early ranks counting more.

Compares a query's own passages only. Candidates of one label share the mean of their ranks, so their order is free to
be equal, not arbitrary.

Dimension key: B queries, K candidates of a query.
Source: Schlatt et al. 2024, "Rank-DistiLLM", arXiv 2405.07920 (approximate discounted rank mean squared error); smooth
ranks as in approxndcg; shared ranks are this package's choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irctl.errors import ConfigError
from irctl.losses import _masked

AUTO_SPREAD = 3.0
VIEWS = ("own",)


@dataclass(frozen=True, kw_only=True)
class Config:
    temperature: float = 1.0  # scores are divided by it
    alpha: float = 1.0  # steepness of the smooth ranks

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not self.alpha > 0:
            raise ConfigError(
                f"adr_mse: temperature and alpha must be above 0, got {self.temperature} and {self.alpha}"
            )


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """Mean over candidates of (q_j - r_j)^2 / log2(1 + q_j), q the rank by label, r the smooth one; then over rows.

    scores_BN: similarities, any float dtype. labels_BN: grades or a teacher's scores; rows with two different ones
    count. mask_BN: False where a candidate must not count.
    """
    s_BK = _masked.scaled(scores_BN, config.temperature, mask_BN)
    y_BK = _masked.like(labels_BN, s_BK, mask_BN)
    places_K = torch.arange(s_BK.shape[1], device=s_BK.device)
    other_BKK = mask_BN[:, None, :] & (places_K != places_K[:, None])
    above_BK = ((y_BK[:, None, :] > y_BK[:, :, None]) & other_BKK).sum(2)
    equal_BK = ((y_BK[:, None, :] == y_BK[:, :, None]) & other_BKK).sum(2)
    wanted_BK = 1 + above_BK + equal_BK.to(s_BK.dtype) / 2
    ahead_BKK = torch.sigmoid(config.alpha * (s_BK[:, None, :] - s_BK[:, :, None])).masked_fill(~other_BKK, 0.0)
    off_BK = (wanted_BK - 1 - ahead_BKK.sum(2)).square() / torch.log2(1 + wanted_BK)
    each_B = off_BK.masked_fill(~mask_BN, 0.0).sum(1) / mask_BN.sum(1).clamp(min=1)
    return _masked.mean_of_rows(each_B, _masked.above_lowest(y_BK, mask_BN).any(1), s_BK)
