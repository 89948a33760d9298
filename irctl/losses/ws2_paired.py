"""Squared distance of the scores' softmax to the grades' softmax: ws2 that knows which query is which.

Dimension key: B queries, N candidates of a query.
Source: the paired counterpart of ws2 (SyCL, arXiv 2503.23239): ws2 <= B/(B-1) times this.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from irctl.errors import ConfigError
from irctl.losses import _masked

AUTO_SPREAD = 1.0


@dataclass(frozen=True, kw_only=True)
class Config:
    temperature: float = 1.0  # scores are divided by it, labels are not
    label_temperature: float = 1.0  # grades are divided by it before their softmax

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not self.label_temperature > 0:
            raise ConfigError(
                f"ws2_paired: temperatures must be above 0, got {self.temperature} and {self.label_temperature}"
            )


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """|softmax(s) - softmax(y)|^2, mean over rows with two candidates or more.

    scores_BN: similarities, any float dtype. labels_BN: grades. mask_BN: False where a candidate must not count.
    """
    s_BN = _masked.scaled(scores_BN, config.temperature, mask_BN)
    y_BN = _masked.like(labels_BN, s_BN, mask_BN) / config.label_temperature
    gap_BN = _masked.softmax(s_BN, mask_BN) - _masked.softmax(y_BN, mask_BN)
    return _masked.mean_of_rows(gap_BN.square().sum(1), mask_BN.sum(1) >= 2, s_BN)
