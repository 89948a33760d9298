"""ADORE: the query encoder alone, against vectors of the corpus that stay; each step retrieves what it would find now.

The vectors are those of train.index, or of the corpus encoded by the model that training starts from. What is trained
encodes queries only: it names its documents' encoder, and is evaluated with the vectors of that one.
Source: Zhan et al. 2021, "Optimizing dense retrieval model training with hard negatives", arXiv 2104.08051.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from irctl.config import Config as Settings
from irctl.errors import ConfigError
from irctl.training.index.query_texts import QueryTexts
from irctl.training.index.retrieving_method import Judged, RetrievingMethod, launched, objective_of
from irctl.training.method import Context
from irctl.training.objective.regularization import Regularization
from irctl.training.scored_method import optimizer_groups, regularization_of

if TYPE_CHECKING:
    from irctl.models.encoder import TextEncoder
    from irctl.training.index.fixed_index import FixedIndex

DEFAULTS: dict[str, Any] = {"loss.name": "lambdamrr", "loss.inbatch": "own", "train.regularizer_rows": "queries"}
DATA = "judged_vectors"
READS_INDEX = True
ROWS = ("queries",)
"""What it moves (irctl/training/objective/regularizer_terms.py): documents stay as they are indexed."""


@dataclass(frozen=True, kw_only=True)
class Config:
    k: int = 200  # documents retrieved for each query at every step

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(f"adore.k: expected 1 or more, found {self.k}")


class Method(RetrievingMethod):
    """A query encoder against a VectorIndex. about: what the saved encoder says of its training."""

    saves_a_model_alone = True

    def __init__(
        self,
        judged: Judged,
        encoder: TextEncoder,
        index: FixedIndex,
        settings: Settings,
        regularization: Regularization | None = None,
        **about: Any,
    ) -> None:
        held_out = judged.held_out.texts if judged.held_out else []
        micro = settings.batch.micro or settings.hardware.micro_batch
        side = QueryTexts(encoder, judged.queries.texts, held_out, micro)
        k = Config(**settings.plugin("adore")).k
        super().__init__(judged, side, index, k=k, regularization=regularization)
        self.encoder, self._about, self._weight_decay = encoder, about, settings.train.weight_decay
        self._start = encoder.fingerprint("passage")  # before training changes it

    @classmethod
    def build(cls, config: Settings, context: Context) -> Self:
        from irctl.data.vectors.open import open_vectors
        from irctl.models.encoder import load_encoder
        from irctl.training.index.fixed_index import VectorIndex
        from irctl.training.index.judged import open_queries, open_split

        stream = open_vectors(config.train.index, root=config.data.root)
        ids = stream.document_ids()
        queries, held_out = open_queries(config, ids, stream.rows)
        encoder = load_encoder(config)
        for line in encoder.notices:
            context.reporter.say(line)
        judged = Judged(
            queries=queries,
            held_out=held_out,
            ids=open_split(config).collection.corpus.ids if ids is None else ids,
            objective=objective_of(config, context, queries),
            seed=config.run.seed,
            fingerprint=hashlib.sha256(f"{queries.fingerprint} {stream.fingerprint}".encode()).hexdigest(),
        )
        similarity = config.search.similarity or str(stream.about.get("similarity", "")) or encoder.similarity
        index = VectorIndex.of_stream(stream, similarity, encoder.device)
        about = {"loss": config.loss.name, "positive_threshold": queries.threshold, "run": context.paths.folder.name}
        is_unit = similarity == "cosine" or encoder.settings.normalize
        regularization = regularization_of(config, context, is_unit=is_unit, dim=encoder.dim)
        documents = launched(context.paths).get("documents", {})
        return cls(judged, encoder, index, config, regularization, **about, **documents)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Weight decay on the encoder's matrices only; learned parts of the loss take none."""
        return optimizer_groups([*self.encoder.module.parameters(), *self.objective.parameters()], self._weight_decay)

    def inputs(self) -> list[dict[str, Any]]:
        folder = str(self.encoder.located.folder)
        return [{"kind": "model", "path": folder, "sha256": self._start, "dim": self.encoder.dim}]

    def save(self, folder: Path) -> dict[str, Any]:
        self.encoder.note_fitted(self.judged.queries.hashes())
        self.encoder.save(folder, {**self._about, **self.about()})
        return {"dim": self.encoder.dim, "fingerprint": self.encoder.fingerprint("passage")}


__all__ = ["DATA", "DEFAULTS", "READS_INDEX", "ROWS", "Config", "Method"]
