"""Cost of the losses, of ws2 by its eigenvalues, and of a training step: `python tests/benchmarks/bench_losses.py`.

The reference is written here from the definition: both N x N covariances, and the trace of the square root of their
product as the sum of square roots of its eigenvalues, in float64 (Dowson and Landau 1982). Everything that is compared
alternates in one process; medians. Steps are counted in CPU seconds, which other work on the machine stretches less
than the clock. Prints JSON: a report, never an assertion.

Dimension key: B queries, K passages a query, N = B * K candidates.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch import Tensor

from irctl import plugins
from irctl.losses import infonce, ws2

SHAPES = ((16, 4), (64, 4), (64, 7))
EPSILON = 1e-15  # under the square root: its slope at 0 is infinite
STEP = (16, 7)  # queries and passages a query of a training step
WORDS = "flow heat wing shock layer boundary plate jet body drag lift wave gas cone slab tube".split()

Work = Callable[[Tensor], Tensor]
"""Scores to a loss."""


def eigenvalue_form(scores_BN: Tensor, labels_BN: Tensor, *, exact: bool = False) -> Tensor:
    """|mean X - mean Y|^2 + Tr(SX) + Tr(SY) - 2 Tr((SX SY)^(1/2)) from N x N covariances, float64.

    exact: for values only, without EPSILON, which N - B + 1 zero eigenvalues would each add to; rounding noise dropped.
    """
    x_BN, y_BN = scores_BN.double().softmax(1), labels_BN.double().softmax(1)
    sx_NN, sy_NN = torch.cov(x_BN.T), torch.cov(y_BN.T)
    eigenvalues_N = torch.linalg.eigvals(sx_NN @ sy_NN)
    real_N = eigenvalues_N.real.clamp(min=0)
    if exact:
        real_N = real_N[real_N > real_N.max() * len(real_N) * torch.finfo(real_N.dtype).eps]
    root = torch.sqrt(real_N + (0 if exact else EPSILON)).sum()
    gap = (x_BN.mean(0) - y_BN.mean(0)).square().sum()
    return gap + sx_NN.trace() + sy_NN.trace() - 2 * root


def batch(rows: int, passages: int) -> tuple[Tensor, Tensor, Tensor]:
    """(scores, labels, mask): graded groups on the diagonal, as SyCL's in-batch view."""
    generator = torch.Generator().manual_seed(rows * passages)
    scores_BN = torch.randn(rows, rows * passages, generator=generator)
    labels_BN = torch.zeros_like(scores_BN)
    for row in range(rows):
        labels_BN[row, row * passages : (row + 1) * passages] = torch.arange(passages).flip(0).clamp(max=3)
    return scores_BN, labels_BN, torch.ones_like(scores_BN, dtype=torch.bool)


def alternate(forms: Mapping[str, Work], scores_BN: Tensor, rounds: int) -> dict[str, tuple[float, float, Tensor]]:
    """{name: (median CPU milliseconds, value, gradient)} of forward and backward; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    last: dict[str, tuple[float, Tensor]] = {}
    for number in range(rounds + 1):
        for name, work in forms.items():
            leaf_BN = scores_BN.clone().requires_grad_()
            started = time.process_time()
            value = work(leaf_BN)
            value.backward()
            spent = 1e3 * (time.process_time() - started)
            assert leaf_BN.grad is not None
            last[name] = (float(value.detach()), leaf_BN.grad)
            times[name] += [spent] if number else []
    return {name: (statistics.median(times[name]), *last[name]) for name in forms}


def against_eigenvalues(rows: int, passages: int, rounds: int) -> dict[str, Any]:
    """How much faster ws2 is than its definition, and how far from it."""
    scores_BN, labels_BN, mask_BN = batch(rows, passages)
    found = alternate(
        {
            "eigenvalues": lambda s: eigenvalue_form(s, labels_BN),
            "ws2_fp64": lambda s: ws2.loss(s.double(), labels_BN, mask_BN, ws2.Config()),
            "ws2_fp32": lambda s: ws2.loss(s, labels_BN, mask_BN, ws2.Config()),
        },
        scores_BN,
        rounds,
    )
    (slow, _, _), (ms64, exact, reference), (ms32, value, gradient) = found.values()
    independent = float(eigenvalue_form(scores_BN, labels_BN, exact=True))
    return {
        "B": rows,
        "K": passages,
        "N": rows * passages,
        "ms": {name: round(f[0], 3) for name, f in found.items()},
        "times_faster": {"ws2_fp64": round(slow / ms64, 1), "ws2_fp32": round(slow / ms32, 1)},
        "relative_gap_of_values": abs(independent - exact) / exact,
        "relative_gap_fp32": abs(value - exact) / exact,
        "relative_gap_of_gradients_fp32": float((gradient - reference).norm() / reference.norm()),
    }


def every_loss(rows: int, passages: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of each loss at its defaults, over all N candidates, or its own K where it takes no others."""
    scores_BN, labels_BN, mask_BN = batch(rows, passages)
    own_BK = torch.arange(rows * passages).view(rows, passages)

    def work(name: str) -> Work:
        module = plugins.load("losses", name)
        settings = module.Config()
        if plugins.literal("losses", name, "VIEWS") != ("own",):
            return lambda s_BN: module.loss(s_BN, labels_BN, mask_BN, settings)  # type: ignore[no-any-return]
        labels_BK, mask_BK = labels_BN.gather(1, own_BK), mask_BN.gather(1, own_BK)
        return lambda s_BN: module.loss(s_BN.gather(1, own_BK), labels_BK, mask_BK, settings)  # type: ignore[no-any-return]

    found = alternate({name: work(name) for name in plugins.names("losses")}, scores_BN, rounds)
    return {"B": rows, "K": passages, "ms": {name: round(f[0], 3) for name, f in found.items()}}


def training_step(steps: int) -> dict[str, Any]:
    """CPU seconds of forward, loss, backward and update of the default encoder, by loss; both alternate."""
    from irctl.config import from_sets, resolve
    from irctl.models.encoder import load_encoder

    rows, passages = STEP
    sets = ("encoder.query_max_len=32", "encoder.passage_max_len=64", "encoder.override=true")
    encoder = load_encoder(resolve(from_sets(sets)))
    encoder.module.train()
    optimizer = torch.optim.AdamW(encoder.module.parameters(), lr=1e-6)
    texts = [" ".join(WORDS[(i + j) % len(WORDS)] for j in range(40)) for i in range(rows * passages)]
    queries = encoder.features([t[:60] for t in texts[:rows]], "query")
    documents = encoder.features(texts, "passage")
    _, labels_BN, mask_BN = batch(rows, passages)
    works: dict[str, Work] = {
        "infonce": lambda s_BN: infonce.loss(s_BN, labels_BN, mask_BN, infonce.Config()),
        "ws2": lambda s_BN: ws2.loss(s_BN, labels_BN, mask_BN, ws2.Config()),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(steps + 1):
        for name in sorted(works, reverse=bool(number % 2)):  # each goes first as often as the other
            started = time.process_time()
            works[name](encoder.forward(queries) @ encoder.forward(documents).T).backward()
            optimizer.step()
            optimizer.zero_grad()
            times[name] += [time.process_time() - started] if number else []
    with torch.no_grad():
        scores_BN = encoder.forward(queries) @ encoder.forward(documents).T
    alone = {name: found[0] for name, found in alternate(works, scores_BN, 50).items()}
    median = {name: statistics.median(t) for name, t in times.items()}
    return {
        "B": rows,
        "K": passages,
        "steps": steps,
        "step_cpu_s": {name: round(t, 3) for name, t in median.items()},
        "loss_cpu_ms": {name: round(t, 3) for name, t in alone.items()},
        "overhead_of_ws2": median["ws2"] / median["infonce"] - 1,
        "overhead_of_ws2_by_the_loss_alone": 1e-3 * (alone["ws2"] - alone["infonce"]) / median["infonce"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=4, help="training steps with each loss; 0: no encoder")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    report: dict[str, Any] = {
        "schema": "irctl/bench-losses/1",
        "threads": given.threads,
        "ws2": [against_eigenvalues(*shape, given.rounds) for shape in SHAPES],
        "losses": [every_loss(*shape, given.rounds) for shape in SHAPES],
    }
    if given.steps:
        report["training_step"] = training_step(given.steps)
    print(json.dumps(report, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
