"""A training without judgements: scores of codes follow those of the float vectors behind them.

What is trained are the query side's centroids and, with an adapter, a linear map of the queries; codes stay.
Dimension key: B queries, U candidates that they share, M slices, D vector width.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irctl.config import Config
from irctl.data.groups.candidates import View
from irctl.training.index import opening, saving
from irctl.training.index.candidates import AllDocuments, BatchBest, Shared
from irctl.training.index.kept_queries import NO_DOCUMENT, KeptQueries, QueryBatch
from irctl.training.index.pseudo_queries import PseudoQueries
from irctl.training.index.query_sides import Adapter, Frozen
from irctl.training.index.teacher import Teacher
from irctl.training.index.trained_codes import TrainedCodes
from irctl.training.method import Context, Item
from irctl.training.objective import terms
from irctl.training.objective.objective import Objective
from irctl.training.objective.regularization import have_unit_length
from irctl.training.objective.term import Rows
from irctl.training.scored_method import Scored, ScoredMethod, optimizer_groups, regularization_of

CENTROID_STEP = 0.12
"""Adam's step in root mean squares of the centroids' entries: 6e-3 where 384 dimensions have length 1."""
ADAPTER_SHARE = 0.2
"""Of the learning rate of centroids. Chosen by what codes find of the float ranking for training texts left out of the
training (built-in collection, three folds): at 12 bytes + .074 with .05, + .087 with .1, + .095 with .2.
"""
SPREAD = 2.0
"""Of the logits, at temperature auto: most candidates are far below those that count. all-MiniLM: near .05."""

SOME = 1000
"""Documents whose lengths are looked at, where there are no texts."""


class Distilling(ScoredMethod):
    """A method (irctl/training/method.py). No encoder is a module of it: checkpoints hold what is trained alone.

    own: the settings of its file (irctl/methods/jpq.py).
    """

    can_evaluate = False  # that would take judgements

    def __init__(self, named: opening.NamedIndex, own: Any, config: Config, context: Context) -> None:
        parts = [replace(part, own_spread=SPREAD) for part in terms.parts(config)]
        learns = config.loss.learn_temperature
        super().__init__(Objective(parts, learn_temperature=learns, warn=context.reporter.warn))
        self.named, self.own, self.config, self.paths = named, own, config, context.paths
        self.bundle = named.open_bundle()
        documents = named.open_documents(config.data.root)
        texts_TD, of_texts = named.open_texts(self.bundle)
        self.fingerprint = opening.fingerprint(self.bundle, documents, of_texts, named)
        self.codes = TrainedCodes(self.bundle)
        teacher = Teacher(documents, is_cosine=self.bundle.metric == "cosine")
        start_DD = getattr(self.bundle.quantizer, "query_map_DD", None)
        self.side: Adapter | Frozen
        self.side = Adapter(self.bundle.dim, start_DD) if own.query == "adapter" else Frozen(start_DD)
        is_small = self.bundle.rows <= own.all_documents
        self.candidates = AllDocuments(self.codes, teacher) if is_small else BatchBest(self.codes, teacher, own.k)
        pseudo = PseudoQueries(teacher.take, documents.rows, own.noise, config.run.seed)
        self.kept = KeptQueries(named.queries, named.items, texts_TD, pseudo, config.run.seed)
        self.queries = len(self.kept)
        some_ND = teacher.take(np.arange(min(SOME, documents.rows))) if texts_TD is None else texts_TD
        is_unit = self.bundle.metric == "cosine" or have_unit_length(torch.tensor(some_ND))
        self.regularization = regularization_of(config, context, is_unit=is_unit, dim=self.bundle.dim)

    def collate(self, items: list[Item]) -> dict[str, Any]:
        return self.kept(items)

    def score(self, batch: dict[str, Any]) -> Scored:
        """Every process scores the whole batch: no encoder runs, so there is nothing to share out."""
        queries = QueryBatch(batch["queries"], batch["own"])
        with torch.autocast(queries.queries_BD.device.type, enabled=False):
            found = self.candidates(queries)
            return self._scored(queries, queries.queries_BD, found)

    def _scored(self, kept: QueryBatch, queries_BD: Tensor, found: Shared) -> Scored:
        """The scores of the codes of what was found. queries_BD: those of `kept`, or as an encoder makes them now."""
        mapped_BD = self.side(queries_BD)
        scores_BU = self.codes.scores(mapped_BD, found.codes_UM)
        texts = (kept.own_B == NO_DOCUMENT).nonzero()[
            :, 0
        ]  # where there are texts, pseudo-queries do not stand for them
        rows = {"queries": Rows(mapped_BD, texts if len(texts) else None)}
        return Scored(scores_BU, {"own": View(found.teacher_BU, found.mask_BU)}, rows=rows)

    def parameter_groups(self) -> list[dict[str, Any]]:
        centroids = self.codes.layer.centroids
        lr = self.own.centroid_lr or CENTROID_STEP * self.codes.size
        groups = [{"params": [centroids], "lr": lr, "weight_decay": 0.0}]
        groups += self.side.parameter_groups(self.codes.adapter_lr(self.own.adapter_lr, ADAPTER_SHARE, lr))
        return groups + optimizer_groups(self.objective.parameters(), 0.0)

    def evaluate(self) -> dict[str, float]:
        raise AssertionError("asked only where can_evaluate")

    def inputs(self) -> list[dict[str, Any]]:
        folder, sha256 = str(self.bundle.folder), self.bundle.fingerprint
        return [{"kind": "bundle", "path": folder, "sha256": sha256, "dim": self.bundle.dim}]

    def save(self, folder: Path) -> dict[str, Any]:
        """The bundle beside the run's other files; a model in `folder` only where texts have an encoder."""
        about = {"method": self.config.train.method, "run": self.paths.folder.name, "loss": self.config.loss.name}
        about |= {"query": self.own.query} | ({"reassign": "end"} if self.own.reassign == "end" else {})
        quantizer = self.codes.quantizer(self.side.query_map())
        documents = self.named.open_documents(self.config.data.root) if self.own.reassign == "end" else None
        made, parent = self.paths.bundle, self.bundle
        if not self.named.has_text:
            return saving.write_bundle(made, parent, quantizer, about, documents=documents)
        rows = self.named.text_hashes() if self.own.query == "adapter" else None
        return saving.write_kept(folder, self.config, made, parent, quantizer, about, documents, fitted_on=rows)
