"""LambdaMRR: every positive against every negative, weighted by the reciprocal ranks that a swap would exchange.

Dimension key: B queries, N candidates of a query, P positives.
Source: Zhan et al. 2021, "Optimizing dense retrieval model training with hard negatives", arXiv 2104.08051 (ADORE);
used by JPQ, arXiv 2108.00644.
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
    cut: int = 200  # ranks, by current scores among the row's candidates (loss.inbatch), beyond it are worth nothing

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigError(f"lambdamrr: temperature must be above 0, got {self.temperature}")
        if self.cut < 1:
            raise ConfigError(f"lambdamrr: cut must be 1 or more, got {self.cut}")


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """Mean over pairs of |1/r_p - 1/r_n| softplus(s_n - s_p), r the current ranks; then over rows with a pair.

    scores_BN: similarities, any float dtype. labels_BN: grades. mask_BN: False where a candidate must not count.
    """
    s_BN = _masked.scaled(scores_BN, config.temperature, mask_BN)
    positive_BN = mask_BN & (labels_BN >= config.positive_threshold)
    negative_BN = mask_BN & ~positive_BN
    columns_BP, lead_BP = _masked.pick(positive_BN)
    rank_BN = _masked.ranks(s_BN, mask_BN)
    worth_BN = (1.0 / rank_BN.to(s_BN.dtype)).masked_fill(rank_BN > config.cut, 0.0)
    pair_BPN = lead_BP[:, :, None] & negative_BN[:, None, :]
    weight_BPN = (worth_BN.gather(1, columns_BP)[:, :, None] - worth_BN[:, None, :]).abs().masked_fill(~pair_BPN, 0.0)
    gap_BPN = s_BN[:, None, :] - s_BN.gather(1, columns_BP)[:, :, None]
    pairs_B = pair_BPN.sum((1, 2))
    each_B = (weight_BPN * softplus(gap_BPN)).sum((1, 2)) / pairs_B.clamp(min=1)
    return _masked.mean_of_rows(each_B, pairs_B > 0, s_BN)
