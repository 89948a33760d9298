"""ListMLE for grades with ties: the likelihood of an order by grade, candidates of one grade sharing a denominator.

Without ties it is ListMLE over its number of terms; with one positive a row it is InfoNCE. No shuffling of ties.

Dimension key: B queries, N candidates of a query, P candidates above the row's lowest grade.
Source: Xia et al. 2008, "Listwise approach to learning to rank: theory and algorithm", ICML; position
weights: Lan et al. 2014, "Position-aware ListMLE", UAI.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irctl.errors import ConfigError
from irctl.losses import _masked

AUTO_SPREAD = 3.0


@dataclass(frozen=True, kw_only=True)
class Config:
    temperature: float = 1.0  # scores are divided by it
    position_weights: bool = False  # weight of rank t: 2^(n-t) - 1, normalised; for loss.inbatch=own

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigError(f"listmle: temperature must be above 0, got {self.temperature}")


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """Mean over j above the lowest grade of [log sum over grades <= y_j of e^s - s_j], then over rows with such a j.

    scores_BN: similarities, any float dtype. labels_BN: grades. mask_BN: False where a candidate must not count.
    """
    s_BN = _masked.scaled(scores_BN, config.temperature, mask_BN)
    y_BN = _masked.like(labels_BN, s_BN, mask_BN)
    columns_BP, lead_BP = _masked.pick(_masked.above_lowest(y_BN, mask_BN))
    y_BP = y_BN.gather(1, columns_BP)
    below_BPN = (y_BN[:, None, :] <= y_BP[:, :, None]) & mask_BN[:, None, :]
    each_BP = _masked.logsumexp(s_BN[:, None, :].expand_as(below_BPN), below_BPN) - s_BN.gather(1, columns_BP)
    weight_BP = lead_BP.to(s_BN.dtype)
    if config.position_weights:
        rank_BP = 1 + ((y_BN[:, None, :] > y_BP[:, :, None]) & mask_BN[:, None, :]).sum(2)
        # (2^(n-t) - 1) / 2^n: the common factor goes with the normalisation, and long lists do not overflow
        weight_BP = weight_BP * (
            torch.exp2(-rank_BP.to(s_BN.dtype)) - torch.exp2(-mask_BN.sum(1, keepdim=True).to(s_BN))
        )
    total_B = weight_BP.sum(1)
    row_B = (each_BP * weight_BP).sum(1) / total_B.masked_fill(total_B == 0, 1.0)
    return _masked.mean_of_rows(row_B, lead_BP.any(1), s_BN)
