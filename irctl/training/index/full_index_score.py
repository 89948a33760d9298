"""nDCG@10 of held-out queries on the whole index, as it is searched now: what chooses the best checkpoint.

Dimension key: Q queries, D vector width, k results.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from irctl.metrics.ranking.evaluate import evaluate
from irctl.training.index.fixed_index import FixedIndex
from irctl.training.index.judged import HeldOut
from irctl.types import Run

MEASURE = "nDCG@10"
DEPTH = 100
BATCH = 256  # queries searched at once


def measure(held_out: HeldOut, queries_QD: Tensor, index: FixedIndex, ids: Sequence[str]) -> dict[str, float]:
    """{nDCG@10: mean over all held-out queries}. ids: of the index's rows."""
    run: Run = {}
    with torch.no_grad():
        for start in range(0, len(queries_QD), BATCH):
            some_QD = queries_QD[start : start + BATCH]
            rows_Qk = index.search(some_QD, min(DEPTH, index.rows))
            scores_Qk = index.scores(some_QD, rows_Qk)
            for number, (rows_k, scores_k) in enumerate(zip(rows_Qk.tolist(), scores_Qk.tolist(), strict=True)):
                names = [str(ids[row]) for row in rows_k]
                run[held_out.ids[start + number]] = dict(zip(names, scores_k, strict=True))
    return dict(evaluate(run, held_out.qrels, MEASURE, self_match=held_out.self_match).means)
