"""A method as they are added: passages times a learned scale before they are compared, and a term on their lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from irctl.training.groups.group_method import GroupMethod
from irctl.training.groups.opening import GroupTraining
from irctl.training.objective.term import Term
from irctl.training.parallel.batch_vectors import BatchVectors
from irctl.training.scored_method import optimizer_groups


class ScaledMethod(GroupMethod):
    def __init__(self, training: GroupTraining) -> None:
        super().__init__(training)
        self.scale = nn.Parameter(torch.full((), 2.0))

    def compare(self, vectors: BatchVectors) -> tuple[Tensor, Mapping[str, Term]]:
        scaled_ND = self.scale.to(vectors.passages_ND.device) * vectors.passages_ND
        scores_BN, _ = super().compare(vectors._replace(passages_ND=scaled_ND))
        return scores_BN, {"length": Term(0.1, (scaled_ND.norm(dim=1) - 1).square().mean())}

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [*super().parameter_groups(), *optimizer_groups([self.scale], 0.0, lr=0.5)]
