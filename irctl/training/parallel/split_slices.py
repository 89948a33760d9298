"""Balanced codes with the work cut by slice: every process has all vectors, so none has to wait within a slice.

Process r takes the slices m with m mod W = r over the whole batch, and one gather of the codes follows: the same
bits as one process computes, where a cut by vectors would need two reductions a round.

Dimension key: X vectors, E rotated dimensions, M slices, K centroids a slice, d = E / M, S slices of a process.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from irctl.models.codes import sinkhorn
from irctl.training.parallel import gather


def assign(rotated_XE: Tensor, centroids_MKd: Tensor, *, eps: float, rounds: int) -> sinkhorn.BalancedCodes:
    """The plan of all slices, on every process. The vectors must be equal on all of them."""
    rank, processes = gather.world()
    slices = len(centroids_MKd)
    mine = range(rank, slices, processes)
    plan = sinkhorn.assign(rotated_XE, centroids_MKd, mine, eps=eps, rounds=rounds)
    if processes == 1:
        return plan
    most = -(-slices // processes)
    codes_XM = rotated_XE.new_empty((len(rotated_XE), slices), dtype=torch.uint8)
    errors_M2 = plan.row_errors_S2.new_empty((slices, 2))
    for source, whole in ((plan.codes_XS.T, codes_XM.T), (plan.row_errors_S2, errors_M2)):
        for owner, piece in enumerate(_gather_padded(source, most)):
            theirs = range(owner, slices, processes)
            whole[owner::processes] = piece[: len(theirs)]
    return sinkhorn.BalancedCodes(codes_XM, errors_M2)


def _gather_padded(rows: Tensor, most: int) -> list[Tensor]:
    """Every process's rows, in rank order, each followed by padding up to `most`."""
    padded = rows.new_zeros((most, *rows.shape[1:]))
    padded[: len(rows)] = rows
    received = [torch.empty_like(padded) for _ in range(gather.world()[1])]
    dist.all_gather(received, padded)
    return received
