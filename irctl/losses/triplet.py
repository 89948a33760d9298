"""Triplet margin on scores that are minus distances: a positive nearer than the query's own negatives by a margin.

A query without negatives of its own is compared with the hardest other passage of the batch (loss.inbatch=own: not at
all), row by row, so that a batch may mix both kinds.

Dimension key: B queries, N candidates of a query.
Source: the objective of ctn/ragcun's isotropy training (margin 1, unsquared distances, one negative a query).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from irctl.errors import ConfigError
from irctl.losses import _masked

AUTO_SPREAD = 0.0  # the margin has the scale of the scores: temperature stays 1
LABELS = "threshold"
NEEDS_OWN = True


@dataclass(frozen=True, kw_only=True)
class Config:
    temperature: float = 1.0  # scores are divided by it
    positive_threshold: float = 1.0  # grade from which a candidate is a positive
    margin: float = 1.0  # how much nearer a positive must be, in units of the scores
    # of several negatives of a query's own: all, averaged, or the hardest
    negatives: str = field(default="all", metadata={"choices": ("all", "hardest")})

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not self.margin > 0:
            raise ConfigError(
                f"triplet: temperature and margin must be above 0, got {self.temperature} and {self.margin}"
            )
        if self.negatives not in self.__dataclass_fields__["negatives"].metadata["choices"]:
            raise ConfigError(f"triplet: negatives must be all or hardest, got '{self.negatives}'")


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config, own_BN: Tensor | None = None) -> Tensor:
    """relu(s_n - s_p + margin), averaged over a row's negatives, its positives, and the rows with both.

    scores_BN: minus distances, any float dtype. labels_BN: grades. mask_BN: False where a candidate must not count.
    own_BN: the row's own passages; None: all are.
    """
    s_BN = _masked.scaled(scores_BN, config.temperature, mask_BN)
    positive_BN = mask_BN & (labels_BN >= config.positive_threshold)
    negative_BN = mask_BN & ~positive_BN
    own_BN = negative_BN if own_BN is None else negative_BN & own_BN
    has_own_B1 = own_BN.any(1, keepdim=True)
    hardest_BN = _hardest(s_BN, torch.where(has_own_B1, own_BN, negative_BN))
    against_BN = hardest_BN if config.negatives == "hardest" else torch.where(has_own_B1, own_BN, hardest_BN)
    columns_BP, is_positive_BP = _masked.pick(positive_BN)
    gap_BPN = s_BN[:, None, :] - s_BN.gather(1, columns_BP)[:, :, None] + config.margin
    counted_BPN = is_positive_BP[:, :, None] & against_BN[:, None, :]
    each_B = gap_BPN.relu().masked_fill(~counted_BPN, 0.0).sum((1, 2))
    counted_B = counted_BPN.sum((1, 2))
    return _masked.mean_of_rows(each_B / counted_B.clamp(min=1), counted_B > 0, s_BN)


def _hardest(s_BN: Tensor, keep_BN: Tensor) -> Tensor:
    """True at the highest score of those kept, the lowest column on ties; nowhere in rows without any."""
    filled_BN = s_BN.detach().masked_fill(~keep_BN, _masked.LOWEST)
    first_BN = torch.zeros_like(keep_BN).scatter_(1, filled_BN.argmax(1, keepdim=True), True)
    return first_BN & keep_BN
