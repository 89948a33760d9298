"""Kullback-Leibler divergence of the scores' softmax from the grades' softmax.

Larger batches flatten the target, as in ws2: label_temperature, loss.inbatch_label and loss.inbatch are the cures.

Dimension key: B queries, N candidates of a query.
Source: the `kl` loss of Trove, arXiv 2511.01857.
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
            raise ConfigError(f"kl: temperatures must be above 0, got {self.temperature} and {self.label_temperature}")


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """sum_j Y_j (log Y_j - log X_j), X and Y softmaxes of scores and grades; mean over rows with two candidates.

    scores_BN: similarities, any float dtype. labels_BN: grades. mask_BN: False where a candidate must not count.
    """
    s_BN = _masked.scaled(scores_BN, config.temperature, mask_BN)
    log_x_BN = _masked.log_softmax(s_BN, mask_BN)
    log_y_BN = _masked.log_softmax(_masked.like(labels_BN, s_BN, mask_BN) / config.label_temperature, mask_BN)
    each_BN = (log_y_BN.exp() * (log_y_BN - log_x_BN)).masked_fill(~mask_BN, 0.0)
    return _masked.mean_of_rows(each_BN.sum(1), mask_BN.sum(1) >= 2, s_BN)
