"""Isotropic: dense retrieval through a projection head, by L2 or cosine, with regularizers that spread vectors out.

The model is a text encoder and a head (irctl/models/heads.py), trained whole or, with model.freeze_base, the head alone
over kept vectors. Under L2 the logits are -||q - d||^2 / sqrt(8 D): of vectors that are N(0, I) squared distances are
2 D +- sqrt(8 D). Regularizers are terms of every method (train.regularizer); the weights of the source are theirs and
those of loss.name. Besides, a predictor of the positive from its query, and the untouched base as a teacher.

Dimension key: B queries that share a loss, N passages of the batch, D vector width, P pairs of a query and a positive.
Source: ctn/ragcun (the training guide of its isotropy experiments); LeJEPA, arXiv 2511.08544.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn

from irctl.config import Config as Settings
from irctl.data.groups.candidates import View
from irctl.errors import ConfigError
from irctl.training.groups.base_teacher import BaseTeacher
from irctl.training.groups.batches import unpack_views
from irctl.training.groups.group_method import GroupMethod
from irctl.training.groups.opening import GroupTraining, open_groups
from irctl.training.method import Context
from irctl.training.objective.term import Term
from irctl.training.parallel import gather
from irctl.training.parallel.batch_vectors import BatchVectors

DEFAULTS: dict[str, Any] = {
    "loss.name": "infonce",
    "loss.temperature": 1.0,
    "model.output_dim": "base",
    "model.similarity": "euclid",
    "train.epoch_models": True,
}
DATA = "groups"
ADDS = "predictive"  # the setting that adds a module, trained by the head's rate
PREDICTOR_DROPOUT = 0.1


@dataclass(frozen=True, kw_only=True)
class Config:
    predictive: float = 0.0  # weight of the squared error of a positive predicted from its query; 0: no predictor
    stop_gradient: bool = True  # the positive that is predicted gets no gradient from it
    # of similarity euclid: squared distances / sqrt(8 D), or plain ones; auto: distance with the loss triplet
    logits: str = field(default="auto", metadata={"choices": ("auto", "squared", "distance")})
    # base: distill and marginmse follow the similarities of the model as it was loaded, over all that they see
    teacher: str = field(default="", metadata={"choices": ("", "base")})

    def __post_init__(self) -> None:
        if self.predictive < 0:
            raise ConfigError(f"isotropic.predictive: expected a weight of 0 or more, found {self.predictive}")


class Predictor(nn.Module):
    """D -> 2 D -> GELU -> dropout -> D, of training alone. The dropped units are the same on every process."""

    def __init__(self, dim: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first, self.last = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, rows_PD: Tensor) -> Tensor:
        hidden_PU = nn.functional.gelu(self.first(rows_PD))
        if self.training:
            drawn_PU = gather.of_first(torch.rand_like(hidden_PU))
            hidden_PU = hidden_PU * (drawn_PU >= PREDICTOR_DROPOUT) / (1 - PREDICTOR_DROPOUT)
        predicted_PD: Tensor = self.last(hidden_PU)
        return predicted_PD


class Method(GroupMethod):
    """A method over groups."""

    def __init__(self, training: GroupTraining, settings: Config, *, seed: int) -> None:
        super().__init__(training)
        self.settings = settings
        losses = {part.name for part in self.objective.parts}
        auto = "distance" if "triplet" in losses else "squared"
        self.logits = auto if settings.logits == "auto" else settings.logits
        self.is_unit = self.encoder.similarity == "cosine"
        self.predictor = Predictor(self.encoder.dim, seed) if settings.predictive else None
        self.teacher = BaseTeacher(training.kept.similarity) if training.kept and settings.teacher else None

    @classmethod
    def build(cls, config: Settings, context: Context) -> Self:
        settings = Config(**config.plugin("isotropic"))
        training = open_groups(config, context, base_teaches=bool(settings.teacher))
        return cls(training, settings, seed=config.run.seed)

    def compare(self, vectors: BatchVectors) -> tuple[Tensor, Mapping[str, Term]]:
        if self.encoder.similarity != "euclid" or self.logits == "distance":
            return super().compare(vectors)
        return squared_logits(*vectors), {}

    def views(self, batch: dict[str, Any]) -> dict[str, View]:
        views = super().views(batch)
        return self.teacher.added(views, self.objective.taught_view, batch) if self.teacher else views

    def pair_terms(self, vectors: BatchVectors, own: View) -> dict[str, Term]:
        """The predictor's mean squared error, over pairs and dimensions; 0 in a batch without a positive."""
        if self.predictor is None:
            return {}
        rows = self.rows(vectors, own)
        passages_PD = rows["passages"].taken()
        owner_P = (own.mask_BN & (own.labels_BN >= self.training_on.positive_from)).nonzero()[:, 0]
        queries_PD = vectors.queries_BD[owner_P]
        if self.is_unit:  # entries of variance 1 are then what isotropic rows have
            scale = passages_PD.shape[1] ** 0.5
            queries_PD, passages_PD = (scale * nn.functional.normalize(x, dim=1) for x in (queries_PD, passages_PD))
        target_PD = passages_PD.detach() if self.settings.stop_gradient else passages_PD
        off_PD = (self.predictor(queries_PD) - target_PD).square()
        return {"predictive": Term(self.settings.predictive, off_PD.sum() / max(1, off_PD.numel()))}

    def added_modules(self) -> Sequence[nn.Module]:
        """The predictor is trained as the head is."""
        return () if self.predictor is None else (self.predictor,)

    def prepare(self, batches: list[dict[str, Any]]) -> None:
        if self.teacher:
            was_training = self.training
            self.eval()
            with torch.no_grad():
                scored = [(self.score(b).scores_BN, unpack_views(b), b) for b in batches]
            self.teacher.measure(scored)
            self.train(was_training)
        super().prepare(batches)

    def state(self) -> dict[str, Any]:
        return {**super().state(), **(self.teacher.state() if self.teacher else {})}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        if self.teacher:
            self.teacher.restore(state)


def squared_logits(queries_BD: Tensor, passages_ND: Tensor) -> Tensor:
    """-||q - d||^2 / sqrt(8 D) [B, N], in the precision of the vectors."""
    # distances know no origin: about the batch's mean the products are small, and little is lost in the difference
    centre_D = passages_ND.detach().mean(0)
    queries_BD, passages_ND = queries_BD - centre_D, passages_ND - centre_D
    squares_BN = queries_BD.square().sum(1)[:, None] + passages_ND.square().sum(1) - 2 * queries_BD @ passages_ND.T
    return -squares_BN.clamp(min=0) / math.sqrt(8 * queries_BD.shape[1])


__all__ = ["DATA", "DEFAULTS", "Config", "Method"]
