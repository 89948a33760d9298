"""What the losses share: scores in full precision, sums over what counts, the few candidates above the rest.

Dimension key: B queries that share a loss, N candidates of a query, P candidates picked in a row.
A masked entry leaves every sum with a gradient of exactly zero: it is filled first, never multiplied away.
"""

from __future__ import annotations

import torch
from torch import Tensor

LOWEST = float("-inf")


def scaled(scores_BN: Tensor, temperature: float | Tensor, mask_BN: Tensor) -> Tensor:
    """Scores divided by the temperature, masked entries 0. float32 at least: fp16 overflows at small temperatures."""
    wide_BN = scores_BN if scores_BN.dtype == torch.float64 else scores_BN.float()
    return wide_BN.masked_fill(~mask_BN, 0.0) / temperature


def like(values_BN: Tensor, scores_BN: Tensor, mask_BN: Tensor) -> Tensor:
    """Labels in the precision of the scores, masked entries 0."""
    return values_BN.to(scores_BN.dtype).masked_fill(~mask_BN, 0.0)


def log_softmax(values_BN: Tensor, mask_BN: Tensor) -> Tensor:
    """log softmax over the candidates that count; 0 elsewhere and in rows without any."""
    some_B1 = mask_BN.any(1, keepdim=True)
    filled_BN = values_BN.masked_fill(~mask_BN & some_B1, LOWEST)
    return torch.log_softmax(filled_BN, 1).masked_fill(~mask_BN, 0.0)


def softmax(values_BN: Tensor, mask_BN: Tensor) -> Tensor:
    """softmax over the candidates that count; 0 elsewhere."""
    return log_softmax(values_BN, mask_BN).exp().masked_fill(~mask_BN, 0.0)


def logsumexp(values_BX: Tensor, keep_BX: Tensor) -> Tensor:
    """log of the sum of exponentials over the entries kept, along the last axis; 0 where none is."""
    some_B1 = keep_BX.any(-1, keepdim=True)
    filled_BX = values_BX.masked_fill(~keep_BX, 0.0).masked_fill(~keep_BX & some_B1, LOWEST)
    return torch.logsumexp(filled_BX, -1).masked_fill(~some_B1.squeeze(-1), 0.0)


def gain(labels_BN: Tensor, mask_BN: Tensor) -> Tensor:
    """2^grade - 1, 0 for grades below 0 and masked entries."""
    return (torch.exp2(labels_BN.clamp(min=0)) - 1).masked_fill(~mask_BN, 0.0)


def ideal_dcg(gain_BN: Tensor, cut: int = 0) -> Tensor:
    """DCG [B] of the best possible order; cut: ranks counted, 0 for all."""
    best_BN = gain_BN.sort(1, descending=True).values[:, : cut or None]
    ranks_N = torch.arange(1, best_BN.shape[1] + 1, device=gain_BN.device)
    return (best_BN / torch.log2(1.0 + ranks_N)).sum(1)


def ranks(scores_BN: Tensor, mask_BN: Tensor) -> Tensor:
    """1-based ranks by score, no gradient: ties to the lower column, masked entries last."""
    order_BN = scores_BN.detach().masked_fill(~mask_BN, LOWEST).sort(dim=1, descending=True, stable=True).indices
    ranks_N = torch.arange(1, scores_BN.shape[1] + 1, device=scores_BN.device)
    return torch.empty_like(order_BN).scatter_(1, order_BN, ranks_N.expand_as(order_BN))


def above_lowest(labels_BN: Tensor, mask_BN: Tensor) -> Tensor:
    """True for candidates above the row's lowest grade: the only ones that can lead a pair."""
    lowest_B1 = labels_BN.masked_fill(~mask_BN, float("inf")).min(1, keepdim=True).values
    return mask_BN & (labels_BN > lowest_B1)


def pick(select_BN: Tensor) -> tuple[Tensor, Tensor]:
    """(columns_BP, valid_BP) of the selected entries, P the most of a row: work is B x P x N, not B x N x N."""
    most = max(1, int(select_BN.sum(1).max()))
    columns_BP = select_BN.int().sort(dim=1, descending=True, stable=True).indices[:, :most]
    return columns_BP, select_BN.gather(1, columns_BP)


def mean_of_rows(losses_B: Tensor, counted_B: Tensor, scores_BN: Tensor) -> Tensor:
    """Mean over the rows that count; if none does, a 0 that still hangs on the scores, so that backward works."""
    total = losses_B.masked_fill(~counted_B, 0.0).sum() + 0.0 * scores_BN.sum()
    return total / counted_B.sum().clamp(min=1)
