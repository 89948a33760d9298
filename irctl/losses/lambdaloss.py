"""LambdaLoss: RankNet pairs weighted by what swapping them would change in nDCG.

Dimension key: B queries, N candidates of a query, P candidates above the row's lowest grade.
Source: Wang et al. 2018, "The LambdaLoss framework for ranking metric optimization", CIKM (natural logarithm);
weights `lambdarank`: Burges 2010, "From RankNet to LambdaRank to LambdaMART", MSR-TR-2010-82.

Ranks are those of the model's current scores among the candidates of the row, which `loss.inbatch` chooses: with all or
masked, by default, every passage of the batch; with own, the query's group. The cut k is one of these ranks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import softplus

from irctl.errors import ConfigError
from irctl.losses import _masked

AUTO_SPREAD = 3.0
LABELS = "gains"
MU = 10.0  # share of the ndcg2 part in ndcg2pp, as in the paper


@dataclass(frozen=True, kw_only=True)
class Config:
    temperature: float = 1.0  # scores are divided by it
    # lambdarank, ndcg2 or ndcg2pp
    weights: str = field(default="lambdarank", metadata={"choices": ("lambdarank", "ndcg2", "ndcg2pp")})
    sigma: float = 1.0  # steepness
    # A pair counts where the better of the two by current score has rank k or less among the row's candidates (of the
    # whole batch, unless loss.inbatch=own), and the ideal DCG takes the k highest grades; 0: no cut
    k: int = 0

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not self.sigma > 0:
            raise ConfigError(
                f"lambdaloss: temperature and sigma must be above 0, got {self.temperature} and {self.sigma}"
            )
        if self.weights not in self.__dataclass_fields__["weights"].metadata["choices"]:
            raise ConfigError(f"lambdaloss: weights must be lambdarank, ndcg2 or ndcg2pp, got '{self.weights}'")
        if self.k < 0:
            raise ConfigError(
                f"lambdaloss: k must be 0 or more, got {self.k}",
                hint="A rank by current scores in the whole batch's list; with loss.inbatch=own, in the query's group",
            )


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """Sum over pairs y_j > y_k of w_jk softplus(-sigma (s_j - s_k)), mean over rows with a gain and a pair.

    scores_BN: similarities, any float dtype. labels_BN: grades. mask_BN: False where a candidate must not count.
    Weights come from the current ranks and carry no gradient.
    """
    s_BN = _masked.scaled(scores_BN, config.temperature, mask_BN)
    y_BN = _masked.like(labels_BN, s_BN, mask_BN)
    columns_BP, lead_BP = _masked.pick(_masked.above_lowest(y_BN, mask_BN))
    pair_BPN = (y_BN.gather(1, columns_BP)[:, :, None] > y_BN[:, None, :]) & mask_BN[:, None, :] & lead_BP[:, :, None]
    gain_BN = _masked.gain(y_BN, mask_BN)
    ideal_B = _masked.ideal_dcg(gain_BN, config.k)
    rank_BN = _masked.ranks(s_BN, mask_BN)
    if config.k:
        best_BPN = torch.minimum(rank_BN.gather(1, columns_BP)[:, :, None], rank_BN[:, None, :])
        pair_BPN = pair_BPN & (best_BPN <= config.k)
    share_BN = gain_BN / ideal_B.masked_fill(ideal_B == 0, 1.0)[:, None]
    weight_BPN = _weights(share_BN, rank_BN, columns_BP, config.weights).masked_fill(~pair_BPN, 0.0)
    gap_BPN = s_BN.gather(1, columns_BP)[:, :, None] - s_BN[:, None, :]
    each_B = (weight_BPN * softplus(-config.sigma * gap_BPN)).sum((1, 2))
    return _masked.mean_of_rows(each_B, (ideal_B > 0) & lead_BP.any(1), s_BN)


def _weights(share_BN: Tensor, rank_BN: Tensor, columns_BP: Tensor, kind: str) -> Tensor:
    gain_BPN = (share_BN.gather(1, columns_BP)[:, :, None] - share_BN[:, None, :]).abs()
    rank_BPN, other_BPN = rank_BN.gather(1, columns_BP)[:, :, None], rank_BN[:, None, :]
    swap_BPN = (_discount(rank_BPN) - _discount(other_BPN)).abs()
    if kind == "lambdarank":
        return gain_BPN * swap_BPN
    apart_BPN = (rank_BPN - other_BPN).abs().clamp(min=1)  # a candidate against itself is no pair
    near_BPN = (_discount(apart_BPN) - _discount(apart_BPN + 1)).abs()
    return gain_BPN * (near_BPN if kind == "ndcg2" else MU * near_BPN + swap_BPN)


def _discount(rank: Tensor) -> Tensor:
    return 1.0 / torch.log2(1.0 + rank)
