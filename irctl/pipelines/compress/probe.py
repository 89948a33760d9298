"""Measuring a trained quantizer on held-out rows: distortion, estimator error, recall of the exact neighbours.

Distortion and the estimator's error are of rows that were not trained on. Recall is of held-out rows as queries among
other rows, so that none finds itself; those were not trained on where there are enough, and are counted where not.
Queries are not rows: others between them, by inner product much shorter, are asked too.
Dimension key: P probe rows, A others as queries, N sampled rows, D dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.index.arrays import normalize_rows
from irctl.index.plan import draw, list_row_groups
from irctl.index.scoring import score_rows
from irctl.metrics.vectors import distortion, neighbour_recall
from irctl.quantizers.shared.search import search_by_scores
from irctl.types import Stream

SAMPLE = 20_000
DEPTHS = (10, 100)
_ENOUGH = SAMPLE // 2  # rows that were not trained on, to do without the others
_ESTIMATED = 100  # probe rows whose every estimate is compared with the exact similarity
_BETWEEN = 200  # queries between two probe rows
_SHORTER = np.float32(0.01)  # their length by inner product, where it must not matter


def draw_others(
    stream: Stream, seed: int, probe_rows: NDArray[np.int64], trained_rows: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], int | None]:
    """(rows among which the probe rows look for their neighbours, ascending; how many of them were trained on).

    trained_rows: those that the quantizers were trained on; None where they are not known.
    """
    sample_N = draw(stream.rows, min(stream.rows, SAMPLE + len(probe_rows)), seed + 2, list_row_groups(stream))
    sample_N = np.setdiff1d(sample_N, probe_rows)[:SAMPLE]
    if trained_rows is None:
        return sample_N, None
    unseen_N = np.setdiff1d(sample_N, trained_rows)
    sample_N = unseen_N if len(unseen_N) >= _ENOUGH else sample_N
    return sample_N, len(np.intersect1d(sample_N, trained_rows))


class Probe:
    """Exact answers, computed once and compared with any number of quantizers.

    trained: how many rows of the sample the quantizers were trained on; None where that is not known.
    """

    def __init__(
        self, held_PD: NDArray[np.float32], sample_ND: NDArray[np.float32], trained: int | None, metric: str
    ) -> None:
        self.held_PD, self.sample_ND, self.trained, self.metric = held_PD, sample_ND, trained, metric
        self.depths = [k for k in DEPTHS if k < len(sample_ND)]
        asked = {"recall": self.held_PD, "query_recall": between(self.held_PD, self.metric)}
        self.asked = {name: (queries_QD, self._exact(queries_QD)) for name, queries_QD in asked.items()}

    def _exact(self, queries_QD: NDArray[np.float32]) -> NDArray[np.int64]:
        def score(rows_ND: Any) -> Any:
            return score_rows(queries_QD, rows_ND, self.metric)

        return search_by_scores(score, self.sample_ND, len(queries_QD), max(self.depths, default=0))[1]

    def describe_rows(self) -> str:
        """Which rows are measured, in words."""
        known = "not known which of them" if self.trained is None else f"{self.trained} of them"
        held = "rows" if self.trained is None else "held-out rows"
        return f"{len(self.held_PD)} {held}; recall among {len(self.sample_ND)} others, {known} trained on"

    def measure(self, quantizer: Any) -> dict[str, Any]:
        """relative_mse, estimator_error, estimator_bias, recall@10 and 100, query_recall@10 and 100; and of which rows.

        Depths are left out where the sample is not deep enough, held_out_rows where what was trained on is not known,
        errors where scores only rank.
        """
        measured: dict[str, Any] = {"measured_on": self.describe_rows(), "sample_rows": len(self.sample_ND)}
        if self.trained is not None:
            measured |= {"held_out_rows": len(self.held_PD), "sample_trained_rows": self.trained}
        codes_PC = quantizer.encode(self.held_PD)
        estimates = not getattr(quantizer, "ranks_only", False)
        if estimates:
            expected_PD = normalize_rows(self.held_PD) if self.metric == "cosine" else self.held_PD
            measured["relative_mse"] = distortion.relative_mse(expected_PD, quantizer.decode(codes_PC))
        some = min(_ESTIMATED, len(self.held_PD) // 2)
        if some and estimates:
            exact = score_rows(self.held_PD[:some], self.held_PD[some:], self.metric)
            error = distortion.estimator_error(quantizer.scores(self.held_PD[:some], codes_PC[some:]), exact)
            measured |= {"estimator_error": error.error, "estimator_bias": error.bias}
        if self.depths:
            codes_NC = quantizer.encode(self.sample_ND)
            for name, (queries_QD, exact_Qk) in self.asked.items():
                rows_Qk = quantizer.search(queries_QD, codes_NC, max(self.depths))[1]
                measured |= {f"{name}@{k}": neighbour_recall.recall_at(rows_Qk, exact_Qk, k) for k in self.depths}
        return measured


def between(held_PD: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Query-like vectors [A, D]: the middle of two probe rows, which is no row; a hundredth as long for ip."""
    some_AD = held_PD[:_BETWEEN]
    middle_AD = (some_AD + np.roll(some_AD, 1, axis=0)) / np.float32(2)
    return middle_AD * _SHORTER if metric == "ip" else middle_AD
