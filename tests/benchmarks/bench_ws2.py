"""ws2 against its eigenvalue form, and a training step of ws2 against infonce: `python tests/benchmarks/bench_ws2.py`.

The reference is written here from the definition: both N x N covariances, and the trace of the square root of their
product as the sum of square roots of its eigenvalues, in float64 (Dowson and Landau 1982). Alternating rounds in one
process, medians. Prints JSON: a report, never an assertion on a clock.

Dimension key: B queries, K passages a query, N = B * K candidates.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch import Tensor

from irctl.losses import infonce, ws2

SHAPES = ((16, 4), (64, 4), (64, 7))
EPSILON = 1e-15  # under the square root: its slope at 0 is infinite


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
    """(scores, labels, mask): graded groups on the diagonal, as source 002's in-batch view."""
    generator = torch.Generator().manual_seed(rows * passages)
    scores_BN = torch.randn(rows, rows * passages, generator=generator)
    labels_BN = torch.zeros_like(scores_BN)
    for row in range(rows):
        labels_BN[row, row * passages : (row + 1) * passages] = torch.arange(passages).flip(0).clamp(max=3)
    return scores_BN, labels_BN, torch.ones_like(scores_BN, dtype=torch.bool)


def round_of(work: Callable[[Tensor], Tensor], scores_BN: Tensor) -> tuple[float, float, Tensor]:
    """(seconds, value, gradient) of one forward and backward."""
    leaf_BN = scores_BN.clone().requires_grad_()
    started = time.perf_counter()
    value = work(leaf_BN)
    value.backward()
    seconds = time.perf_counter() - started
    assert leaf_BN.grad is not None
    return seconds, float(value.detach()), leaf_BN.grad


def losses(rounds: int) -> list[dict[str, Any]]:
    found = []
    for rows, passages in SHAPES:
        scores_BN, labels_BN, mask_BN = batch(rows, passages)
        forms: dict[str, Callable[[Tensor], Tensor]] = {
            "eigenvalues": lambda s, y=labels_BN: eigenvalue_form(s, y),
            "ws2_fp64": lambda s, y=labels_BN, m=mask_BN: ws2.loss(s.double(), y, m, ws2.Config()),
            "ws2_fp32": lambda s, y=labels_BN, m=mask_BN: ws2.loss(s, y, m, ws2.Config()),
            "infonce_fp32": lambda s, y=labels_BN, m=mask_BN: infonce.loss(s, y, m, infonce.Config()),
        }
        times: dict[str, list[float]] = {name: [] for name in forms}
        values, gradients = {}, {}
        for number in range(rounds + 1):
            for name, work in forms.items():
                seconds, values[name], gradients[name] = round_of(work, scores_BN)
                if number:  # the first round warms up
                    times[name].append(seconds)
        ms = {name: 1e3 * statistics.median(t) for name, t in times.items()}
        reference, exact = gradients["ws2_fp64"], values["ws2_fp64"]
        independent = float(eigenvalue_form(scores_BN, labels_BN, exact=True))
        found.append(
            {
                "B": rows,
                "K": passages,
                "N": rows * passages,
                "ms": {name: round(value, 3) for name, value in ms.items()},
                "times_faster": {n: round(ms["eigenvalues"] / ms[n], 1) for n in ("ws2_fp64", "ws2_fp32")},
                "relative_gap_of_values": abs(independent - exact) / exact,
                "relative_gap_fp32": abs(values["ws2_fp32"] - exact) / exact,
                "relative_gap_of_gradients_fp32": float((gradients["ws2_fp32"] - reference).norm() / reference.norm()),
            }
        )
    return found


def step_overhead(steps: int, rows: int, passages: int) -> dict[str, Any]:
    """Seconds of forward, loss, backward and update of the default encoder, by loss; steps of both alternate."""
    from irctl.config import from_sets, resolve
    from irctl.models.encoder import load_encoder

    sets = ("encoder.query_max_len=32", "encoder.passage_max_len=64", "encoder.override=true")
    encoder = load_encoder(resolve(from_sets(sets)))
    encoder.module.train()
    optimizer = torch.optim.AdamW(encoder.module.parameters(), lr=1e-6)
    words = "flow heat wing shock layer boundary plate jet body drag lift wave gas cone slab tube".split()
    texts = [" ".join(words[(i + j) % len(words)] for j in range(40)) for i in range(rows * passages)]
    queries = encoder.features([t[:60] for t in texts[:rows]], "query")
    documents = encoder.features(texts, "passage")
    _, labels_BN, mask_BN = batch(rows, passages)
    chosen: dict[str, Any] = {"infonce": (infonce, infonce.Config()), "ws2": (ws2, ws2.Config())}
    times: dict[str, list[float]] = {name: [] for name in chosen}
    alone: dict[str, list[float]] = {name: [] for name in chosen}
    for number in range(steps + 1):
        for name, (module, settings) in chosen.items():
            started = time.perf_counter()
            scores_BN = encoder.forward(queries) @ encoder.forward(documents).T
            began = time.perf_counter()
            value = module.loss(scores_BN, labels_BN, mask_BN, settings)
            ended = time.perf_counter()
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
            if number:
                times[name].append(time.perf_counter() - started)
                alone[name].append(ended - began)
    median = {name: statistics.median(t) for name, t in times.items()}
    loss_ms = {name: 1e3 * statistics.median(t) for name, t in alone.items()}
    return {
        "B": rows,
        "K": passages,
        "steps": steps,
        "step_s": {name: round(t, 3) for name, t in median.items()},
        "loss_forward_ms": {name: round(t, 3) for name, t in loss_ms.items()},
        "overhead_of_ws2": median["ws2"] / median["infonce"] - 1,
        "overhead_of_ws2_by_the_loss_alone": 1e-3 * (loss_ms["ws2"] - loss_ms["infonce"]) / median["infonce"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=4, help="0: no encoder")
    parser.add_argument("--queries", type=int, default=16, help="of a training step")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    report: dict[str, Any] = {"schema": "irctl/bench-ws2/1", "threads": given.threads, "losses": losses(given.rounds)}
    if given.steps:
        report["training_step"] = step_overhead(given.steps, given.queries, 4)
    print(json.dumps(report, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
