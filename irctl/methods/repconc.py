"""RepCONC: one text encoder and the centroids that its passages are coded by, trained together, codes kept balanced.

It starts from a bundle of product codes (train.index, the OPQ warm-up): rotation and centroids are taken from it, the
rotation stays. In training a passage is coded by a balanced assignment over the whole batch (sinkhorn.py);
the loss compares queries, which are never quantized, with the coded passages, whose gradient goes straight through to
the encoder and to the centroids, and pulls vectors and centroids together by their squared distance. Codes of the
trained model are the nearest centroids. It is saved as an encoder with its codes' quantizer in pq/.

Dimension key: B queries that share a loss, N passages of the batch, D vector width, E rotated dimensions, M slices,
K centroids a slice, X passages whose codes are balanced together: N and those of the queue.
Source: Zhan et al. 2022, arXiv 2110.05789.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from irctl.config import Config as Settings
from irctl.data.groups.candidates import View
from irctl.data.groups.one_positive_views import one_positive_views
from irctl.errors import ConfigError, RunFailed
from irctl.models.codes import sinkhorn
from irctl.models.codes.pq_layer import PqLayer
from irctl.training.groups.batches import unpack_views
from irctl.training.groups.group_method import GroupMethod
from irctl.training.groups.opening import GroupTraining, open_groups
from irctl.training.method import Context
from irctl.training.objective.term import Term
from irctl.training.parallel import split_slices
from irctl.training.parallel.batch_vectors import BatchVectors, embed_batch
from irctl.training.scored_method import Scored, optimizer_groups

DEFAULTS: dict[str, Any] = {"loss.name": "infonce", "data.binary": "true", "data.short": "fill"}
DATA = "coded_groups"
READS_INDEX = True
SIMILARITY = {"ip": "ip", "cosine": "cos"}
"""repconc.similarity where it is empty, by the metric of the bundle."""


@dataclass(frozen=True, kw_only=True)
class Config:
    m: int = 0  # slices of the bundle to start from; 0: any
    bits: int = 0  # bits a slice of that bundle; 0: any
    similarity: str = ""  # of vectors: ip or cos; empty: that of the bundle
    constraint: bool = True  # balanced codes in training; false: nearest
    eps: float = 0.003  # of the balanced assignment: the smaller, the nearer to a hard one
    rounds: int = 100  # of the balanced assignment
    queue: int = 0  # passages of earlier batches whose codes are balanced with the batch's
    centroid_lr: float = 5e-4  # peak learning rate of the centroids
    negatives: int = 11  # passages drawn for a query besides its positive
    top_negatives: int = 11  # of the batch's passages a query is compared with, its highest-scoring; 0: all
    mse_weight: float = 0.0768  # of the mean squared distance, over the whole batch; RepCONC's w is w * X / 64 here

    def __post_init__(self) -> None:
        if self.similarity not in ("", "ip", "cos"):
            raise ConfigError(f"repconc.similarity: expected ip or cos, found {self.similarity!r}")
        if min(self.m, self.bits, self.queue, self.negatives, self.top_negatives) < 0 or self.bits > 8:
            raise ConfigError(
                "repconc: m, queue, negatives and top_negatives are 0 or more, bits 0 to 8, found "
                f"{self.m}, {self.queue}, {self.negatives}, {self.top_negatives} and {self.bits}"
            )
        if not self.eps > 0 or self.rounds < 1:
            raise ConfigError(f"repconc: eps above 0, rounds 1 or more, found {self.eps} and {self.rounds}")
        if self.centroid_lr < 0 or self.mse_weight < 0:
            raise ConfigError(
                f"repconc: centroid_lr and mse_weight are 0 or more, found {self.centroid_lr} and {self.mse_weight}"
            )


class Method(GroupMethod):
    """A method over groups of one positive. metric: of the codes. seed: kept with the quantizer."""

    queue: Tensor
    queued: Tensor

    def __init__(self, training: GroupTraining, pq: PqLayer, settings: Config, *, metric: str, seed: int) -> None:
        super().__init__(training)
        self.pq, self.settings, self.metric, self.seed = pq, settings, metric, seed
        self.similarity = settings.similarity or SIMILARITY[metric]
        if training.regularization and self.similarity == "cos":
            training.regularization.is_unit = True
        # kept with the weights, so that a training that goes on balances over the same passages
        self.register_buffer("queue", torch.zeros(settings.queue, len(pq.rotation)))
        self.register_buffer("queued", torch.zeros((), dtype=torch.int64))
        self.source: dict[str, Any] = {}

    @classmethod
    def build(cls, config: Settings, context: Context) -> Self:
        from irctl.index.bundle import open_bundle
        from irctl.quantizers.learned import Quantizer
        from irctl.quantizers.shared import opening

        bundle = open_bundle(Path(config.train.index), opening.load)
        start = Quantizer.from_product(bundle.quantizer)
        settings = Config(**config.plugin("repconc"))
        training = open_groups(config, context, views_of=one_positive_views, holds_out=True)
        about = {"codes": {"m": start.config.m, "bits": start.config.bits, "from": bundle.fingerprint}}
        training = replace(
            training,
            about={**training.about, **about},
            fingerprint=f"{training.fingerprint} {bundle.fingerprint}",
        )
        pq = PqLayer(torch.from_numpy(start.rotation_ED), torch.from_numpy(start.centroids_MKd))
        made = cls(training, pq, settings, metric=start.metric, seed=config.run.seed)
        made.source = {"kind": "bundle", "path": str(bundle.folder), "sha256": bundle.fingerprint}
        return made

    def score(self, batch: dict[str, Any]) -> Scored:
        vectors, views = embed_batch(self.encoder, batch), unpack_views(batch)
        device = vectors.queries_BD.device
        with torch.autocast(device.type, enabled=False):
            queries_BE, rotated_NE = self._rotated(vectors)
            codes_NM, measures = self._choose(rotated_NE.detach())
            coded_NE = self.pq.straight_through(rotated_NE, codes_NM)
            scores_BN = queries_BE @ coded_NE.T
            mse = (self.pq.decode(codes_NM) - rotated_NE).square().sum(1).mean()
        if guide := self.training_on.guide:
            views = guide.narrow(batch, views, device)
        if self.settings.top_negatives:
            views = keep_hardest(views, scores_BN.detach(), self.settings.top_negatives)
        terms = {"mse": Term(self.settings.mse_weight, mse)}
        return Scored(scores_BN, views, terms, measures, self.rows(vectors, views["own"]))

    def compare(self, vectors: BatchVectors) -> tuple[Tensor, Mapping[str, Term]]:
        """By nearest codes, as a bundle of this model is searched."""
        device = self.pq.centroids.device
        queries_BE, rotated_NE = self._rotated(BatchVectors(*(v.to(device) for v in vectors)))
        scores_BN = self.pq.lut_scores(queries_BE, self.pq.assign(rotated_NE))
        return scores_BN.to(vectors.queries_BD.device), {}

    def parameter_groups(self) -> list[dict[str, Any]]:
        centroids = optimizer_groups([self.pq.centroids], 0.0, lr=self.settings.centroid_lr, name="centroids")
        return [*super().parameter_groups(), *({**group, "weight_decay": 0.0} for group in centroids)]

    def inputs(self) -> list[dict[str, Any]]:
        return [*super().inputs(), *([self.source] if self.source else [])]

    def save(self, folder: Path) -> dict[str, Any]:
        from irctl.quantizers.learned import Quantizer

        arrays = (t.detach().cpu().numpy() for t in (self.pq.rotation, self.pq.centroids))
        quantizer = Quantizer.of_arrays(*arrays, metric=self.metric, seed=self.seed)
        saved = super().save(folder)
        quantizer.save(folder / "pq")
        return saved

    def _rotated(self, vectors: BatchVectors) -> tuple[Tensor, Tensor]:
        """Queries and passages in the space of the centroids, at the lengths they are compared by."""
        if self.similarity == "cos":
            vectors = BatchVectors(*(torch.nn.functional.normalize(v, dim=1) for v in vectors))
        return self.pq.rotate(vectors.queries_BD), self.pq.rotate(vectors.passages_ND)

    def _choose(self, rotated_NE: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(codes of the batch's passages [N, M], how evenly they fall). Nearest ones outside training.

        Batches of fewer passages than centroids, until the queue has filled up to them, get nearest codes too: no plan
        is even there. Then the row error is that of these codes.
        """
        nearest_NM = self.pq.assign(rotated_NE)
        if not self.training:
            return nearest_NM, {}
        (rows, _), (slices, k, _) = rotated_NE.shape, self.pq.centroids.shape
        codes_NM, nearest = nearest_NM, sinkhorn.measure_balance(nearest_NM, k)
        row_errors = nearest.largest_M.max(), nearest.average_M.mean()
        joined_XE = torch.cat([rotated_NE, self.queue[: int(self.queued.clamp(max=len(self.queue)))]])
        if self.settings.constraint and len(joined_XE) >= k:
            centroids_MKd = self.pq.centroids.detach()
            plan = split_slices.assign(joined_XE, centroids_MKd, eps=self.settings.eps, rounds=self.settings.rounds)
            failed = (~torch.isfinite(plan.row_errors_S2).all(1)).nonzero()
            if len(failed):
                raise RunFailed(
                    f"the balanced assignment of slice m={int(failed[0])} of {slices} is not finite",
                    hint="Raise repconc.eps or repconc.mse_weight, or lower train.lr; the last checkpoint is kept",
                )
            codes_NM, (largest_M, mean_M) = plan.codes_XS[:rows], plan.row_errors_S2.T
            row_errors = largest_M.max(), mean_M.mean()
        self._remember(rotated_NE)
        measures = {"row_error.max": row_errors[0], "row_error.mean": row_errors[1]}
        balance = sinkhorn.measure_balance(codes_NM, k)
        for name, measured in (("imbalance", balance), ("imbalance_nearest", nearest)):
            measures |= {f"{name}.{how}": value for how, value in measured.spread().items()}
        return codes_NM, measures

    @torch.no_grad()
    def _remember(self, rotated_NE: Tensor) -> None:
        """Put the batch's passages into the queue, a ring: the oldest give way."""
        if size := len(self.queue):
            kept_NE = rotated_NE[-size:]
            places = (self.queued + torch.arange(len(kept_NE), device=self.queue.device)) % size
            self.queue[places] = kept_NE.to(self.queue.dtype)
            self.queued += len(kept_NE)


def keep_hardest(views: Mapping[str, View], scores_BN: Tensor, most: int) -> dict[str, View]:
    """The views of the whole batch with a query's own positive and, of its others that count, the highest-scoring.

    scores_BN: without gradient. most: so many of the others.
    """
    own = views["own"]
    assert own.columns_BK is not None
    positive_B1 = own.columns_BK[:, :1]  # a group's first passage
    kept: dict[str, View] = {"own": own}
    for name in views.keys() - kept.keys():
        view = views[name]
        others_BN = view.mask_BN.scatter(1, positive_B1, False)
        ranked_BN = scores_BN.masked_fill(~others_BN, float("-inf"))
        best_Bt = ranked_BN.topk(min(most, ranked_BN.shape[1]), dim=1).indices
        hardest_BN = torch.zeros_like(others_BN).scatter(1, best_Bt, True) & others_BN
        is_kept_BN = hardest_BN.scatter(1, positive_B1, view.mask_BN.gather(1, positive_B1))
        kept[name] = View(view.labels_BN, is_kept_BN)
    return kept


__all__ = ["DATA", "DEFAULTS", "READS_INDEX", "Config", "Method"]
