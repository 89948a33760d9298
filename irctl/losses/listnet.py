"""ListNet: cross-entropy of the scores' softmax with a target that shares its mass by gain (or by the grades' softmax).

Dimension key: B queries, N candidates of a query.
Source: Cao et al. 2007, "Learning to rank: from pairwise approach to listwise approach", ICML (top-one form).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from irctl.errors import ConfigError
from irctl.losses import _masked

AUTO_SPREAD = 3.0
LABELS = "gains"


@dataclass(frozen=True, kw_only=True)
class Config:
    temperature: float = 1.0  # scores are divided by it, labels are not
    target: str = "gain"  # gain: (2^y - 1) / sum; softmax: softmax(y), whose gradient equals that of kl
    label_temperature: float = 1.0  # for target softmax only

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not self.label_temperature > 0:
            raise ConfigError(
                f"listnet: temperatures must be above 0, got {self.temperature} and {self.label_temperature}"
            )
        if self.target not in ("gain", "softmax"):
            raise ConfigError(f"listnet: target must be gain or softmax, got '{self.target}'")


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """-sum_j t_j log X_j, mean over rows with a grade above 0; of target softmax, over rows with two candidates.

    scores_BN: similarities, any float dtype. labels_BN: grades. mask_BN: False where a candidate must not count.
    """
    s_BN = _masked.scaled(scores_BN, config.temperature, mask_BN)
    y_BN = _masked.like(labels_BN, s_BN, mask_BN)
    gain_BN = _masked.gain(y_BN, mask_BN)
    total_B1 = gain_BN.sum(1, keepdim=True)
    if config.target == "gain":
        target_BN, counted_B = gain_BN / total_B1.masked_fill(total_B1 == 0, 1.0), total_B1[:, 0] > 0
    else:
        target_BN, counted_B = _masked.softmax(y_BN / config.label_temperature, mask_BN), mask_BN.sum(1) >= 2
    each_B = -(target_BN * _masked.log_softmax(s_BN, mask_BN)).sum(1)
    return _masked.mean_of_rows(each_B, counted_B, s_BN)
