"""nDCG@10 of held-out queries while training: judged and mined passages re-ranked, or the whole corpus.

Dimension key: Q queries, M documents that any query needs, D vector width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from irctl.metrics.ranking.evaluate import evaluate
from irctl.training.groups.sources import DevData
from irctl.types import Run

MEASURE = "nDCG@10"
DEPTH = 100
"""Documents kept a query when the whole corpus is ranked."""

Score = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


class Encodes(Protocol):
    def encode(self, texts: Sequence[str], side: str = "passage") -> NDArray[np.float32]: ...


class DevScore:
    """Call it to measure the encoder as it is now, its vectors being compared by a function of two arrays."""

    def __init__(self, data: DevData, encoder: Encodes) -> None:
        self._data, self._encoder = data, encoder
        self._ids, self._rows = data.documents()

    def __call__(self, score: Score) -> dict[str, float]:
        data = self._data
        texts = data.collection.corpus.texts(self._rows)
        documents_MD = np.asarray(self._encoder.encode(texts, "passage"))
        queries_QD = np.asarray(self._encoder.encode(data.query_texts, "query"))
        scores_QM = score(queries_QD, documents_MD)
        result = evaluate(self._run(scores_QM), data.qrels, MEASURE, self_match=data.self_match)
        return dict(result.means)

    def _run(self, scores_QM: NDArray[np.float32]) -> Run:
        data = self._data
        if data.candidates is None:
            kept = min(DEPTH, scores_QM.shape[1])
            best_QK = np.argpartition(-scores_QM, kept - 1, axis=1)[:, :kept]
            return {
                q: {self._ids[int(c)]: float(scores[c]) for c in columns}
                for q, scores, columns in zip(data.query_ids, scores_QM, best_QK, strict=True)
            }
        place = {d: column for column, d in enumerate(self._ids)}
        return {
            q: {d: float(scores[place[d]]) for d in listed}
            for q, scores, listed in zip(data.query_ids, scores_QM, data.candidates, strict=True)
        }
