"""Distillation: the scores' softmax follows that of a teacher's scores, over a query's own passages.

Dimension key: B queries, N candidates of a query.
Source: Hinton, Vinyals and Dean 2015, arXiv 1503.02531 (the factor T^2 keeps the gradient's size).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from irctl.errors import ConfigError
from irctl.losses import _masked

AUTO_SPREAD = 1.0
LABELS = "teacher"
VIEWS = ("own",)


@dataclass(frozen=True, kw_only=True)
class Config:
    temperature: float = 1.0  # scores are divided by it
    label_temperature: float = 1.0  # the teacher's scores are divided by it; 0: by the temperature of the scores

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not self.label_temperature >= 0:
            raise ConfigError(
                f"distill: temperature must be above 0 and label_temperature 0 or more, got {self.temperature} and "
                f"{self.label_temperature}"
            )


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """T^2 KL(softmax(y / tau) || softmax(scores / T)), mean over rows with two candidates or more.

    scores_BN: similarities, any float dtype. labels_BN: a teacher's. mask_BN: False where a candidate must not count.
    """
    tau = config.label_temperature or config.temperature
    s_BN = _masked.scaled(scores_BN, config.temperature, mask_BN)
    log_x_BN = _masked.log_softmax(s_BN, mask_BN)
    log_y_BN = _masked.log_softmax(_masked.like(labels_BN, s_BN, mask_BN) / tau, mask_BN)
    each_B = (log_y_BN.exp() * (log_y_BN - log_x_BN)).masked_fill(~mask_BN, 0.0).sum(1)
    return config.temperature**2 * _masked.mean_of_rows(each_B, mask_BN.sum(1) >= 2, s_BN)
