"""A second, frozen model that finds positives nobody judged: passages it prefers to a query's own are no negatives.

Dimension key: B queries that share a loss, N passages of the batch, K passages of a query's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from irctl.data.groups.candidates import View
from irctl.training.parallel.batch_vectors import embed_batch
from irctl.training.similarities import similarities

if TYPE_CHECKING:
    from irctl.models.encoder import TextEncoder


class Guide:
    """margin: how far below the query's best own passage, by the guide's score, another must stay to count."""

    def __init__(self, encoder: TextEncoder, margin: float) -> None:
        self.encoder, self.margin = encoder, margin

    def narrow(self, batch: Mapping[str, Any], views: Mapping[str, View], device: torch.device) -> dict[str, View]:
        """The views, the masked one without other queries' passages that score above the limit."""
        self.encoder.module.to(device)
        with torch.no_grad():
            vectors = embed_batch(self.encoder, batch, "guide")
            scores_BN = similarities(*vectors, self.encoder.similarity)
        own, masked = views["own"], views["masked"]
        highest_B1 = own.labels_BN.masked_fill(~own.mask_BN, float("-inf")).argmax(1, keepdim=True)
        limit_B1 = own.scores(scores_BN).gather(1, highest_B1) - self.margin
        assert own.columns_BK is not None
        is_own_BN = torch.zeros_like(masked.mask_BN).scatter_add_(1, own.columns_BK, own.mask_BN)
        keep_BN = is_own_BN | (scores_BN <= limit_B1)
        return {**views, "masked": View(masked.labels_BN, masked.mask_BN & keep_BN)}
