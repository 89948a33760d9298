"""InfoNCE with any number of positives: each against the row's negatives, the other positives left out.

Dimension key: B queries, N candidates of a query.
Source: van den Oord et al. 2018, arXiv 1807.03748; several positives as in Khosla et al. 2020, arXiv 2004.11362,
but with the other positives out of the denominator.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus

from irctl.errors import ConfigError
from irctl.losses import _masked

AUTO_SPREAD = 3.0
LABELS = "threshold"


@dataclass(frozen=True, kw_only=True)
class Config:
    temperature: float = 1.0  # scores are divided by it
    positive_threshold: float = 1.0  # grade from which a candidate is a positive

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigError(f"infonce: temperature must be above 0, got {self.temperature}")


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """(1/|P|) sum over positives p of [log(e^s_p + sum over negatives e^s_n) - s_p], mean over rows with both kinds.

    scores_BN: similarities, any float dtype. labels_BN: grades. mask_BN: False where a candidate must not count.
    """
    s_BN = _masked.scaled(scores_BN, config.temperature, mask_BN)
    positive_BN = mask_BN & (labels_BN >= config.positive_threshold)
    negative_BN = mask_BN & ~positive_BN
    counted_B = positive_BN.any(1) & negative_BN.any(1)
    against_B1 = _masked.logsumexp(s_BN, negative_BN)[:, None]
    each_BN = softplus(against_B1 - s_BN).masked_fill(~positive_BN, 0.0)
    return _masked.mean_of_rows(each_BN.sum(1) / positive_BN.sum(1).clamp(min=1), counted_B, s_BN)
