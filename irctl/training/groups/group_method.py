"""Training a text encoder on groups: queries and passages are embedded, gathered, compared and handed to the objective.

This is dense retrieval whole. A method that does something between vectors and scores overrides `compare`; one that
scores other candidates than the batch's passages overrides `score`. Modules and parameters that it adds as attributes
are kept in checkpoints; `parameter_groups` has them trained, `save` writes them.

Dimension key: B queries that share a loss, N passages of the batch, Q queries and M documents of the dev
split, D vector width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from irctl.config import Config
from irctl.data.groups.candidates import View
from irctl.models import fitted_rows
from irctl.models.heads import head_modules
from irctl.training import learning_rates
from irctl.training.groups.batches import unpack_views
from irctl.training.groups.opening import GroupTraining, open_groups
from irctl.training.method import Context, Item
from irctl.training.objective.term import Rows, Term
from irctl.training.parallel.batch_vectors import BatchVectors, embed_batch
from irctl.training.scored_method import Scored, ScoredMethod, optimizer_groups
from irctl.training.similarities import similarities

Floats = NDArray[np.float32]


class GroupMethod(ScoredMethod):
    """A method (irctl/training/method.py) over groups."""

    saves_a_model_alone = True

    def __init__(self, training: GroupTraining) -> None:
        super().__init__(training.objective, training.regularization)
        self.training_on, self.encoder = training, training.encoder
        self.module = training.encoder.module  # registered: its parameters are this method's
        self.queries, self.fingerprint = len(training.batches.source), training.fingerprint
        self.can_evaluate, self.measured_on = training.dev is not None, training.measured_on
        self._start = training.encoder.fingerprint("passage")  # before training changes it

    @classmethod
    def build(cls, config: Config, context: Context) -> Self:
        return cls(open_groups(config, context))

    def compare(self, vectors: BatchVectors) -> tuple[Tensor, Mapping[str, Term]]:
        """(scores [B, N], further terms of the loss), in full precision.

        The vectors are those of a loss batch, equal on every process, or of the dev split, then on the CPU.
        """
        return similarities(*vectors, self.encoder.similarity), {}

    def views(self, batch: dict[str, Any]) -> dict[str, View]:
        """What the losses look at, by name."""
        return unpack_views(batch)

    def pair_terms(self, vectors: BatchVectors, own: View) -> dict[str, Term]:
        """Further terms of the loss that know whose passages are whose, by the view of a query's own; none here."""
        return {}

    def score(self, batch: dict[str, Any]) -> Scored:
        vectors, views = embed_batch(self.encoder, batch), self.views(batch)
        device = vectors.queries_BD.device
        with torch.autocast(device.type, enabled=False):
            scores_BN, terms = self.compare(vectors)
            terms = {**terms, **self.pair_terms(vectors, views["own"])}
        rows = self.rows(vectors, views["own"])
        if guide := self.training_on.guide:
            views = guide.narrow(batch, views, device)
        return Scored(scores_BN, views, terms, rows=rows)

    def rows(self, vectors: BatchVectors, own: View) -> dict[str, Rows]:
        """What regularizers may see: the queries, and each query's passages from the least label of a positive up.

        own: the view of a query's own passages, with the labels of the data. A passage that is the positive of two
        queries stands twice.
        """
        assert own.columns_BK is not None
        is_kept_BK = own.mask_BN & (own.labels_BN >= self.training_on.positive_from)
        owner_N, kept_N = is_kept_BK.nonzero()[:, 0], own.columns_BK[is_kept_BK]
        return {"queries": Rows(vectors.queries_BD), "passages": Rows(vectors.passages_ND, kept_N, owner_N=owner_N)}

    def score_before_training(self, batch: dict[str, Any]) -> tuple[Tensor, Mapping[str, View]]:
        if self.objective.measures:
            return super().score_before_training(batch)
        return self.objective.stand_in(self.views(batch), sum(batch["passage_counts"]))

    def collate(self, items: list[Item]) -> dict[str, Any]:
        return self.training_on.batches(items)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Weight decay on the model's matrices only; learned parts of the loss take none."""
        after = [p for part in (*head_modules(self.encoder), *self.added_modules()) for p in part.parameters()]
        of_head = {id(p) for p in after}
        base = [p for p in self.module.parameters() if id(p) not in of_head]
        decay = self.training_on.weight_decay
        return [
            *optimizer_groups(base, decay, **self._named(learning_rates.BASE)),
            *optimizer_groups(after, decay, **self._named(learning_rates.HEAD)),
            *optimizer_groups(self.objective.parameters(), 0.0, name="loss"),
        ]

    def added_modules(self) -> Sequence[nn.Module]:
        """Modules that a method adds to the model and that are trained by the head's rate, such as a predictor."""
        return ()

    def _named(self, part: str) -> dict[str, Any]:
        """What an optimizer group of this part says of itself."""
        rates = self.training_on.rates
        return {"name": part, **({"lr": rates[part]} if part in rates else {})}

    def evaluate(self) -> dict[str, float]:
        assert self.training_on.dev is not None, "asked only where can_evaluate"
        return self.training_on.dev(self._compare_arrays)

    def inputs(self) -> list[dict[str, Any]]:
        folder = str(self.encoder.located.folder)
        return [{"kind": "model", "path": folder, "sha256": self._start, "dim": self.encoder.dim}]

    def save(self, folder: Path) -> dict[str, Any]:
        learned = self.objective.learned_settings()
        about = {"temperatures": self.objective.current(), **({"learned": learned} if learned else {})}
        self.encoder.save(folder, {**self.training_on.about, **about})
        fitted_rows.save(folder, fitted_rows.load(folder), self.training_on.text_hashes)
        return {"dim": self.encoder.dim, "fingerprint": self.encoder.fingerprint("passage")}

    def _compare_arrays(self, queries_QD: Floats, documents_MD: Floats) -> Floats:
        scores_QM, _ = self.compare(BatchVectors(torch.from_numpy(queries_QD), torch.from_numpy(documents_MD)))
        return scores_QM.numpy()
