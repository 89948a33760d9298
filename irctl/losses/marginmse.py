"""MarginMSE: the score margins below a query's best passage follow those of a teacher (or of the grades).

Compares a query's own passages only, whatever loss.inbatch says for other losses of a sum.

Dimension key: B queries, N candidates of a query.
Source: Hofstätter et al. 2020, arXiv 2010.02666.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irctl.errors import ConfigError
from irctl.losses import _masked

AUTO_SPREAD = 0.0  # margins have the teacher's scale: temperature stays 1
VIEWS = ("own",)


@dataclass(frozen=True, kw_only=True)
class Config:
    temperature: float = 1.0  # scores are divided by it, labels are not
    label_scale: float = 1.0  # label margins are multiplied by it

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigError(f"marginmse: temperature must be above 0, got {self.temperature}")


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """Mean over k != p of ((s_p - s_k) - c (y_p - y_k))^2, p the highest label (lowest column on ties); then over rows.

    scores_BN: similarities, any float dtype. labels_BN: a teacher's scores, or grades.
    mask_BN: False where a candidate must not count. Rows with two candidates or more count.
    """
    s_BN = _masked.scaled(scores_BN, config.temperature, mask_BN)
    y_BN = _masked.like(labels_BN, s_BN, mask_BN)
    highest_B1 = y_BN.masked_fill(~mask_BN, float("-inf")).max(1, keepdim=True).values
    columns_N = torch.arange(s_BN.shape[1], device=s_BN.device)
    best_B1 = columns_N.masked_fill(~(mask_BN & (y_BN == highest_B1)), s_BN.shape[1]).min(1, keepdim=True).values
    best_B1 = best_B1.clamp(max=s_BN.shape[1] - 1)  # rows without candidates do not count
    other_BN = mask_BN & (columns_N != best_B1)
    off_BN = (s_BN.gather(1, best_B1) - s_BN) - config.label_scale * (y_BN.gather(1, best_B1) - y_BN)
    each_B = off_BN.masked_fill(~other_BN, 0.0).square().sum(1) / other_BN.sum(1).clamp(min=1)
    return _masked.mean_of_rows(each_B, mask_BN.sum(1) >= 2, s_BN)
