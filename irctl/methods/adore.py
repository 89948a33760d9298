"""ADORE: the query encoder alone, against vectors of the corpus that stay; each step retrieves what it would find now.

The vectors are those of train.index, or of the corpus encoded by the model that training starts from. What is trained
encodes queries only: it names its documents' encoder, and is evaluated with the vectors of that one.
Source: Zhan et al. 2021, "Optimizing dense retrieval model training with hard negatives", arXiv 2104.08051.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Self

from irctl.config import Config as Settings
from irctl.errors import ConfigError
from irctl.training.index.retrieving_method import Judged, RetrievingMethod, launched, objective_of
from irctl.training.method import Context

DEFAULTS: dict[str, Any] = {"loss.name": "lambdamrr", "loss.inbatch": "own"}
DATA = "judged_vectors"
READS_INDEX = True


@dataclass(frozen=True, kw_only=True)
class Config:
    k: int = 200  # documents retrieved for each query at every step

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(f"adore.k: expected 1 or more, found {self.k}")


class Method(RetrievingMethod):
    """A query encoder against a VectorIndex."""

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
        documents = launched(context.paths).get("documents", {})
        similarity = config.search.similarity or str(stream.about.get("similarity", "")) or encoder.similarity
        judged = Judged(
            encoder=encoder,
            queries=queries,
            held_out=held_out,
            ids=open_split(config).collection.corpus.ids if ids is None else ids,
            objective=objective_of(config, context, queries),
            micro=context.plan.micro,
            seed=config.run.seed,
            weight_decay=config.train.weight_decay,
            fingerprint=hashlib.sha256(f"{queries.fingerprint} {stream.fingerprint}".encode()).hexdigest(),
            about={
                "loss": config.loss.name,
                "positive_threshold": queries.threshold,
                "run": context.paths.folder.name,
                **documents,
            },
        )
        index = VectorIndex.of_stream(stream, similarity, encoder.device)
        return cls(judged, index, k=Config(**config.plugin("adore")).k)


__all__ = ["DATA", "DEFAULTS", "READS_INDEX", "Config", "Method"]
