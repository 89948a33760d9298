"""The documents that a batch of queries is compared with, and what the teacher says of them.

Dimension key: B queries, N documents, U candidates that all queries of a batch share, M slices, D vector width.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from irctl.training.index.kept_queries import QueryBatch
from irctl.training.index.teacher import Teacher
from irctl.training.index.trained_codes import TrainedCodes


class Shared(NamedTuple):
    """codes_UM: of the candidates. teacher_BU: float scores. mask_BU: False for the document a query is made of."""

    codes_UM: Tensor
    teacher_BU: Tensor
    mask_BU: Tensor


class AllDocuments(nn.Module):
    """Every document, for corpora whose floats fit beside the training: N x D in memory, scores N x B a step."""

    documents_ND: Tensor
    codes_NM: Tensor

    def __init__(self, codes: TrainedCodes, teacher: Teacher) -> None:
        super().__init__()
        documents_ND = torch.from_numpy(teacher.take(np.arange(len(codes))))
        self.register_buffer("documents_ND", documents_ND, persistent=False)
        self.register_buffer("codes_NM", codes.unpack(), persistent=False)

    def forward(self, batch: QueryBatch) -> Shared:
        rows_N = torch.arange(len(self.codes_NM), device=batch.own_B.device)
        mask_BN = rows_N[None] != batch.own_B[:, None]
        return Shared(self.codes_NM, batch.queries_BD @ self.documents_ND.T, mask_BN)


class BatchBest(nn.Module):
    """The teacher's k best of every query of the batch, shared: those of the others are candidates too."""

    def __init__(self, codes: TrainedCodes, teacher: Teacher, k: int) -> None:
        super().__init__()
        # not registered: the codes belong to the method
        self._codes, self._teacher, self._k = (codes,), teacher, k

    def forward(self, batch: QueryBatch) -> Shared:
        found_Bk = self._teacher.best(
            batch.queries_BD, self._k + 1
        )  # one may be the document that the query is made of
        rows_U = torch.from_numpy(np.unique(found_Bk)).to(batch.own_B.device)
        teacher_BU = self._teacher.scores(batch.queries_BD, rows_U)
        return Shared(self._codes[0].unpack(rows_U), teacher_BU, rows_U[None] != batch.own_B[:, None])
