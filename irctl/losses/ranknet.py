"""RankNet: logistic loss on every pair of candidates with different grades.

Dimension key: B queries, N candidates of a query, P candidates above the row's lowest grade.
Source: Burges et al. 2005, "Learning to rank using gradient descent", ICML.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus

from irctl.errors import ConfigError
from irctl.losses import _masked

AUTO_SPREAD = 3.0


@dataclass(frozen=True, kw_only=True)
class Config:
    temperature: float = 1.0  # scores are divided by it
    sigma: float = 1.0  # steepness

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not self.sigma > 0:
            raise ConfigError(
                f"ranknet: temperature and sigma must be above 0, got {self.temperature} and {self.sigma}"
            )


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """Mean over pairs y_j > y_k of softplus(-sigma (s_j - s_k)), then over rows with a pair.

    scores_BN: similarities, any float dtype. labels_BN: grades. mask_BN: False where a candidate must not count.
    """
    s_BN = _masked.scaled(scores_BN, config.temperature, mask_BN)
    y_BN = _masked.like(labels_BN, s_BN, mask_BN)
    columns_BP, lead_BP = _masked.pick(_masked.above_lowest(y_BN, mask_BN))
    pair_BPN = (y_BN.gather(1, columns_BP)[:, :, None] > y_BN[:, None, :]) & mask_BN[:, None, :] & lead_BP[:, :, None]
    gap_BPN = s_BN.gather(1, columns_BP)[:, :, None] - s_BN[:, None, :]
    each_BPN = softplus(-config.sigma * gap_BPN).masked_fill(~pair_BPN, 0.0)
    pairs_B = pair_BPN.sum((1, 2))
    return _masked.mean_of_rows(each_BPN.sum((1, 2)) / pairs_B.clamp(min=1), pairs_B > 0, s_BN)
