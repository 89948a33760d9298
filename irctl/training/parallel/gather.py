"""Vectors of all processes as one matrix, so that every process computes the same loss over the whole batch.

Every process holds the live vectors of its own rows; the others' arrive without gradient. Data parallel training
averages gradients over W processes, so the local rows' gradient is multiplied by W on its way back: what the average
leaves is the gradient of one process that had done it all. The loss itself, and parameters inside it (a learned
temperature), stay unscaled: their gradient is already whole on every process. Rows may be shared unevenly; a process
may have none.

Dimension key: N rows of all processes, L rows of this process, D vector width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world() -> tuple[int, int]:
    """(rank, number of processes)."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def share(rows: int, rank: int, processes: int) -> range:
    """The contiguous rows of a process; the first processes take one more where it does not divide."""
    each, more = divmod(rows, processes)
    start = rank * each + min(rank, more)
    return range(start, start + each + (rank < more))


def gather_rows(local_LD: Tensor, counts: Sequence[int]) -> Tensor:
    """Rows [N, D] of all processes in rank order, float32 or wider; gradient flows to the local ones, times W.

    counts: rows of each process; all processes know them. local_LD may have rows beyond its count, which are left out:
    a process without rows embeds some text all the same, for every process must walk back through its parameters.
    """
    rank, processes = world()
    mine_LD = local_LD[: counts[rank]]
    mine_LD = mine_LD if mine_LD.dtype == torch.float64 else mine_LD.float()
    if processes == 1:
        return mine_LD
    longest = max(counts)
    padded = mine_LD.new_zeros((longest, *mine_LD.shape[1:]))
    padded[: counts[rank]] = mine_LD.detach()
    received = [torch.empty_like(padded) for _ in range(processes)]
    dist.all_gather(received, padded)
    pieces = [other[:count] for other, count in zip(received, counts, strict=True)]
    pieces[rank] = _ScaleGradient.apply(mine_LD, float(processes))  # type: ignore[no-untyped-call]
    gathered_ND = torch.cat(pieces)
    return gathered_ND if counts[rank] else gathered_ND + 0.0 * local_LD.sum().to(gathered_ND.dtype)


def from_first(value: float | int, device: torch.device | str = "cpu") -> float:
    """The first process's value, on every process."""
    if world()[1] == 1:
        return float(value)
    box = torch.tensor([float(value)], dtype=torch.float64, device=device)
    dist.broadcast(box, 0)
    return float(box.item())


def total(value: float, device: torch.device | str = "cpu") -> float:
    """The sum of every process's value, on every process."""
    if world()[1] == 1:
        return value
    box = torch.tensor([value], dtype=torch.float64, device=device)
    dist.all_reduce(box)
    return float(box.item())


def of_first(values: Tensor) -> Tensor:
    """The first process's values, on every process; without gradient."""
    if world()[1] > 1:
        dist.broadcast(values, 0)
    return values


def barrier() -> None:
    """Wait for all processes."""
    if world()[1] > 1:
        dist.barrier()


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None
