"""ApproxNDCG: 1 - nDCG with ranks made smooth by sigmoids.

Dimension key: B queries, N candidates of a query, P candidates with a gain.
Source: Qin, Liu and Li 2010, "A general approximation framework for direct optimization of information retrieval
measures", Information Retrieval 13.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irctl.errors import ConfigError
from irctl.losses import _masked

AUTO_SPREAD = 3.0
LABELS = "gains"


@dataclass(frozen=True, kw_only=True)
class Config:
    temperature: float = 1.0  # scores are divided by it
    alpha: float = 1.0  # steepness of the smooth ranks

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not self.alpha > 0:
            raise ConfigError(
                f"approxndcg: temperature and alpha must be above 0, got {self.temperature} and {self.alpha}"
            )


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """1 - (1/IDCG) sum_j g_j / log2(1 + r_j), r_j = 1 + sum_k sigmoid(alpha (s_k - s_j)), k != j; rows with gain count.

    scores_BN: similarities, any float dtype. labels_BN: grades. mask_BN: False where a candidate must not count.
    """
    s_BN = _masked.scaled(scores_BN, config.temperature, mask_BN)
    gain_BN = _masked.gain(_masked.like(labels_BN, s_BN, mask_BN), mask_BN)
    ideal_B = _masked.ideal_dcg(gain_BN)
    columns_BP, valid_BP = _masked.pick(gain_BN > 0)
    columns_N = torch.arange(s_BN.shape[1], device=s_BN.device)
    other_BPN = mask_BN[:, None, :] & (columns_N != columns_BP[:, :, None])
    gap_BPN = s_BN[:, None, :] - s_BN.gather(1, columns_BP)[:, :, None]
    rank_BP = 1 + torch.sigmoid(config.alpha * gap_BPN).masked_fill(~other_BPN, 0.0).sum(2)
    dcg_B = (gain_BN.gather(1, columns_BP) / torch.log2(1 + rank_BP)).masked_fill(~valid_BP, 0.0).sum(1)
    return _masked.mean_of_rows(1 - dcg_B / ideal_B.masked_fill(ideal_B == 0, 1.0), ideal_B > 0, s_BN)
