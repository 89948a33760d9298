"""Cost of the losses, and of ws2 against its definition by eigenvalues: `python tests/benchmarks/bench_losses.py`.

The reference builds both N x N covariances and takes the square roots of the eigenvalues of their product, in double
precision, as the formula is written. One process, one thread, alternating rounds, medians. A report, no assertion.

Dimension key: B queries that share a loss, N passages.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from irctl import plugins


def eigenvalue_form(scores_BN: Tensor, labels_BN: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance from the covariances."""
    x_BN, y_BN = torch.softmax(scores_BN.double(), 1), torch.softmax(labels_BN.double(), 1)
    gap = (x_BN.mean(0) - y_BN.mean(0)).square().sum()
    sx_NN, sy_NN = torch.cov(x_BN.T), torch.cov(y_BN.T)
    values_N = torch.linalg.eigvals(sx_NN @ sy_NN)
    return gap + torch.trace(sx_NN) + torch.trace(sy_NN) - 2 * torch.sqrt(values_N + 1e-15).real.sum()


def median_ms(work: Callable[[Tensor], Tensor], scores_BN: Tensor, rounds: int) -> float:
    """Milliseconds of forward and backward."""
    spent = []
    for _ in range(rounds):
        leaf_BN = scores_BN.detach().clone().requires_grad_()
        started = time.perf_counter()
        work(leaf_BN).backward()
        spent.append(1000 * (time.perf_counter() - started))
    return statistics.median(spent)


def report(rows: int, group: int, rounds: int) -> dict[str, float]:
    """Milliseconds by loss at one batch, and how much faster ws2 is than its eigenvalue form."""
    labels_BN = torch.zeros(rows, rows * group)
    for row in range(rows):
        labels_BN[row, row * group : row * group + 4] = torch.tensor([3.0, 2.0, 1.0, 0.0])
    scores_BN, mask_BN = torch.randn(rows, rows * group), torch.ones(rows, rows * group, dtype=torch.bool)

    def cost(name: str) -> float:
        module = plugins.load("losses", name)
        config = module.Config()
        return median_ms(lambda s_BN: module.loss(s_BN, labels_BN, mask_BN, config), scores_BN, rounds)

    found = {"B": rows, "group": group} | {name: round(cost(name), 3) for name in plugins.names("losses")}
    mine, theirs = [], []
    for _ in range(3):
        mine.append(cost("ws2"))
        theirs.append(median_ms(lambda s_BN: eigenvalue_form(s_BN, labels_BN), scores_BN, max(3, rounds // 3)))
    return found | {"ws2 by eigenvalues": round(min(theirs), 3), "ratio": round(min(theirs) / min(mine), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for rows, group in ((16, 4), (64, 4), (64, 7)):
        print(json.dumps(report(rows, group, args.rounds)))  # noqa: T201


if __name__ == "__main__":
    main()
