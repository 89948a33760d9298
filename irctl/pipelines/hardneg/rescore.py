"""Candidates scored again by a cross-encoder, so that margins are measured on its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irctl.errors import ConfigError, DataError
from irctl.pipelines.hardneg.rankers import Ranked, Ranker
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection, Queries


RESCORE_BATCH = 32


def rescored(base: Ranker, collection: Collection, queries: Queries, config: Config, reporter: Reporter) -> Ranker:
    """The candidates of another ranker, scored and ordered by a cross-encoder.

    Raises DataError if it is not here and the hub cannot be asked, ConfigError if it gives no single score.
    """
    from sentence_transformers import CrossEncoder

    name = config.hardneg.rescore
    try:
        model = CrossEncoder(name, trust_remote_code=config.model.trust_remote_code)
    except OSError as e:
        raise DataError(f"hardneg.rescore: no cross-encoder '{name}': {str(e).splitlines()[0]}") from e
    if (labels := int(model.config.num_labels)) != 1:
        raise ConfigError(
            f"hardneg.rescore={name}: gives {labels} scores a pair; expected 1, the relevance",
            hint="Use a cross-encoder of one label, trained to rank",
        )

    def score(row: int, documents: list[str]) -> list[float]:
        texts = collection.corpus.texts([collection.corpus.row(d) for d in documents])
        pairs = [(queries.texts[row], t) for t in texts]
        return [float(s) for s in model.predict(pairs, batch_size=RESCORE_BATCH, show_progress_bar=False)]

    def ranked(row: int, k: int) -> Ranked:
        documents = [d for d, _ in base.ranked(row, k)]
        scored = zip(documents, score(row, documents), strict=True) if documents else iter(())
        return sorted(scored, key=lambda x: (x[1], x[0]), reverse=True)

    return Ranker(ranked, score, {**base.provenance, "rescored_by": name})
