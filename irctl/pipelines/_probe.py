"""Measuring a trained quantizer on held-out rows: distortion, estimator error, recall of the exact neighbours.

Probe rows are queries against a sample of rows without them, so none finds itself.
Dimension key: P probe rows, N sampled rows, D dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.index.plan import Plan, draw, groups_of
from irctl.index.rows import taken
from irctl.index.scoring import similarity
from irctl.index.topk import top_k
from irctl.metrics import distortion, recall
from irctl.types import Stream

SAMPLE = 20_000
DEPTHS = (10, 100)
_ESTIMATED = 100  # probe rows whose every estimate is compared with the exact similarity
_CHUNK = 128


class Probe:
    """Exact answers, computed once and compared with any number of quantizers."""

    def __init__(self, stream: Stream, plan: Plan, probe_rows: NDArray[np.int64]) -> None:
        sample_N = draw(stream.rows, min(stream.rows, SAMPLE + len(probe_rows)), plan.seed + 2, groups_of(stream))
        sample_N = np.setdiff1d(sample_N, probe_rows)[:SAMPLE]
        self.metric = plan.metric
        self.queries_PD = taken(stream, probe_rows)
        self.sample_ND = taken(stream, sample_N)
        self.depths = [k for k in DEPTHS if k < len(sample_N)]
        deepest = max(self.depths, default=0)
        exact = [
            top_k(similarity(self.queries_PD[a : a + _CHUNK], self.sample_ND, self.metric), deepest)[1]
            for a in range(0, len(self.queries_PD), _CHUNK)
        ]
        self.exact_Pk = np.concatenate(exact) if exact else np.empty((0, 0), np.int64)

    def measure(self, quantizer: Any) -> dict[str, float]:
        """relative_mse, estimator_error, estimator_bias, recall@10, recall@100 (if the sample is deep enough)."""
        codes_NC = quantizer.encode(self.sample_ND)
        found = {"relative_mse": _distortion(quantizer, codes_NC, self.sample_ND, self.metric)}
        some_PD = self.queries_PD[:_ESTIMATED]
        if len(some_PD):
            estimated = quantizer.scores(some_PD, codes_NC)
            error = distortion.estimator_error(estimated, similarity(some_PD, self.sample_ND, self.metric))
            found |= {"estimator_error": error.error, "estimator_bias": error.bias}
        if self.depths and len(self.queries_PD):
            rows_Pk = quantizer.search(self.queries_PD, codes_NC, max(self.depths))[1]
            found |= {f"recall@{k}": recall.recall_at(rows_Pk, self.exact_Pk, k) for k in self.depths}
        return found


def _distortion(quantizer: Any, codes_NC: NDArray[np.uint8], sample_ND: NDArray[np.float32], metric: str) -> float:
    from irctl.index.rows import unit

    expected_ND = unit(sample_ND) if metric == "cosine" else sample_ND
    return distortion.relative_mse(expected_ND, quantizer.decode(codes_NC))
