"""The model as it was loaded, before its head, as the teacher of losses that follow one: no judgement is read.

Its similarities of the batch stand in the view `teacher` as labels, times a factor that is measured once, on the first
loss batches: there they spread over a query's own passages as the scores of the model in training do.

Dimension key: B queries that share a loss, N passages of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from irctl.data.groups.candidates import View
from irctl.training.groups.frozen_base import VECTORS
from irctl.training.objective.terms import TEACHER
from irctl.training.parallel.batch_vectors import embed_batch
from irctl.training.similarities import similarities


class BaseTeacher:
    """similarity: by which the model compared its vectors before training."""

    def __init__(self, similarity: str) -> None:
        self.similarity, self.scale = similarity, 1.0

    def added(self, views: Mapping[str, View], seen: str, batch: Mapping[str, Any]) -> dict[str, View]:
        """The views and the teacher's. seen: the view whose candidates it judges."""
        view = views[seen]
        labels_BN = view.scores(self.scale * self._similarities(batch))
        return {**views, TEACHER: View(labels_BN, view.mask_BN, view.columns_BK)}

    def measure(self, batches: Sequence[tuple[Tensor, Mapping[str, View], Mapping[str, Any]]]) -> None:
        """Set the factor by (scores_BN of the model, views, batch) of the first loss batches."""
        scores, similar = [], []
        for scores_BN, views, batch in batches:
            own = views["own"]
            scores.append(own.scores(scores_BN)[own.mask_BN].double())
            similar.append(own.scores(self._similarities(batch))[own.mask_BN].double())
        wide, narrow = (float(torch.cat(x).std(unbiased=False)) for x in (scores, similar))
        # six digits: the last bits depend on the number of processes, the factor should not
        self.scale = float(f"{wide / narrow:.6g}") if wide > 0 and narrow > 0 else 1.0

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"teacher_scale": self.scale}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.scale = float(state["teacher_scale"])

    def _similarities(self, batch: Mapping[str, Any]) -> Tensor:
        with torch.no_grad():
            return similarities(*embed_batch(_Kept(), batch, "teacher"), self.similarity)


class _Kept:
    """Vectors that stay as they are kept."""

    def forward(self, features: Mapping[str, Any]) -> Tensor:
        vectors_ND: Tensor = features[VECTORS]
        return vectors_ND
