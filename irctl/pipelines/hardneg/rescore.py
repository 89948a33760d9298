"""Candidates scored again by a cross-encoder, so that margins are measured on its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irctl.errors import ConfigError, DataError
from irctl.pipelines.hardneg.rankers import Ranked, Ranker

if TYPE_CHECKING:
    from irctl.pipelines.hardneg.judged_split import JudgedSplit


RESCORE_BATCH = 32


def rescore(base: Ranker, split: JudgedSplit, name: str, *, trust_remote_code: bool) -> Ranker:
    """The candidates of another ranker, scored and ordered by the cross-encoder `name`.

    Raises DataError if it is not here and the hub cannot be asked, ConfigError if it gives no single score.
    """
    from sentence_transformers import CrossEncoder

    try:
        model = CrossEncoder(name, trust_remote_code=trust_remote_code)
    except OSError as e:
        raise DataError(f"hardneg.rescore: no cross-encoder '{name}': {str(e).splitlines()[0]}") from e
    if (labels := int(model.config.num_labels)) != 1:
        raise ConfigError(
            f"hardneg.rescore={name}: gives {labels} scores a pair; expected 1, the relevance",
            hint="Use a cross-encoder of one label, trained to rank",
        )

    corpus = split.collection.corpus

    def score(row: int, documents: list[str]) -> list[float]:
        texts = corpus.texts([corpus.row(d) for d in documents])
        pairs = [(split.queries.texts[row], t) for t in texts]
        return [float(s) for s in model.predict(pairs, batch_size=RESCORE_BATCH, show_progress_bar=False)]

    def ranked(row: int, k: int) -> Ranked:
        documents = [d for d, _ in base.ranked(row, k)]
        scored = zip(documents, score(row, documents), strict=True) if documents else iter(())
        return sorted(scored, key=lambda x: (x[1], x[0]), reverse=True)

    return Ranker(ranked, score, {**base.provenance, "rescored_by": name})
