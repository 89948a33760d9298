"""What one of two processes does in the test of slices shared out: the codes of all slices, saved by each."""

from __future__ import annotations

import sys

import numpy as np
import torch
import torch.distributed as dist

from irctl.training.parallel import split_slices


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    """(vectors [200, 15], centroids [5, 16, 3]): an odd number of slices, so that one process has one more."""
    generator = torch.Generator().manual_seed(4)
    return torch.randn(200, 15, generator=generator), torch.randn(5, 16, 3, generator=generator)


def main(out: str) -> None:
    dist.init_process_group("gloo")
    plan = split_slices.assign(*drawn(), eps=0.003, rounds=20)
    np.savez(f"{out}-{dist.get_rank()}.npz", codes=plan.codes_XS.numpy(), errors=plan.row_errors_S2.numpy())
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
