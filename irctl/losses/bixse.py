"""BiXSE: every query-passage pair is a binary question whose answer is a grade between 0 and 1.

The bias b is learned: the objective owns it, sets it on the first batch so that the mean score answers the mean grade,
and checkpoints keep it.

Dimension key: B queries, N candidates of a query.
Source: BiXSE, arXiv 2508.06781; the first value of b is this package's choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from irctl.errors import ConfigError
from irctl.losses import _masked

AUTO_SPREAD = 3.0
LABELS = "shares"
LEARNED = ("bias",)


@dataclass(frozen=True, kw_only=True)
class Config:
    temperature: float = 1.0  # scores less bias are divided by it
    bias: float = 0.0  # where the learned bias starts; unset: from the first batch
    max_label: float = 3.0  # the grade that stands for 1; unset: the largest of the data

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not self.max_label > 0:
            raise ConfigError(
                f"bixse: temperature and max_label must be above 0, got {self.temperature} and {self.max_label}"
            )


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """Mean over all valid pairs, not rows, of BCE(sigmoid((s - b) / T), max(y, 0) / largest grade).

    scores_BN: similarities, any float dtype. labels_BN: grades. mask_BN: False where a candidate must not count.
    """
    wide_BN = scores_BN if scores_BN.dtype == torch.float64 else scores_BN.float()
    s_BN = _masked.scaled(wide_BN - config.bias, config.temperature, mask_BN)
    target_BN = _masked.like(labels_BN, s_BN, mask_BN).clamp(min=0) / config.max_label
    each_BN = binary_cross_entropy_with_logits(s_BN, target_BN, reduction="none").masked_fill(~mask_BN, 0.0)
    return each_BN.sum() / mask_BN.sum().clamp(min=1)


def first_bias(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> float:
    """The b at which the mean score answers the mean grade: mean(scores) - T logit(mean target)."""
    target = (labels_BN[mask_BN].double().clamp(min=0) / config.max_label).mean().clamp(1e-4, 1 - 1e-4)
    return float(scores_BN[mask_BN].double().mean() - config.temperature * torch.logit(target))
