"""CoSENT: all pairs of all rows in one logarithm, so that the worst ordered pair of the batch dominates.

Dimension key: B queries, N candidates of a query, P candidates above the row's lowest grade.
Source: Su 2022, kexue.fm/archives/8847; CoSENTLoss of sentence-transformers.
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

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigError(f"cosent: temperature must be above 0, got {self.temperature}")


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """log(1 + sum over pairs y_j > y_k of every row of e^(s_k - s_j)); 0 without pairs.

    scores_BN: similarities, any float dtype. labels_BN: grades. mask_BN: False where a candidate must not count.
    """
    s_BN = _masked.scaled(scores_BN, config.temperature, mask_BN)
    y_BN = _masked.like(labels_BN, s_BN, mask_BN)
    columns_BP, lead_BP = _masked.pick(_masked.above_lowest(y_BN, mask_BN))
    pair_BPN = (y_BN.gather(1, columns_BP)[:, :, None] > y_BN[:, None, :]) & mask_BN[:, None, :] & lead_BP[:, :, None]
    gap_BPN = s_BN[:, None, :] - s_BN.gather(1, columns_BP)[:, :, None]
    total = softplus(_masked.logsumexp(gap_BPN.flatten(), pair_BPN.flatten()))
    return total.masked_fill(~pair_BPN.any(), 0.0) + 0.0 * s_BN.sum()
