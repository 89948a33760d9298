"""Encoding against SentenceTransformer.encode and against the matrix products alone.

    python tests/benchmarks/bench_encode.py --rows 350 --rounds 3

Two processes, one for each, take turns, so that both meet the same machine and neither the other's allocator. Prints
JSON: seconds of CPU and of the clock (medians of the rounds), their ratio, the share of the measured GEMM rate that
encoding reaches (2 flops a weight of the layers and a real token; attention, padding and tokenising count as loss), and
the largest difference of a vector. A report: nothing is asserted on a clock.

Dimension key: T tokens, D model width, F feed-forward width.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import numpy as np

GEMM_S = 1.0
WARM_UP = 16


def clocked(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """(result, CPU seconds of all threads, seconds of the clock)."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def gemm(tokens: int, width: int, inner: int) -> tuple[float, float]:
    """Flops a CPU second and a second of one layer's float32 products, over and over for about a second."""
    import torch

    x_TD, h_TF = torch.randn(tokens, width), torch.randn(tokens, inner)
    square_DD, up_DF, down_FD = torch.randn(width, width), torch.randn(width, inner), torch.randn(inner, width)

    def run() -> int:
        rounds, started = 0, time.perf_counter()
        while time.perf_counter() - started < GEMM_S:
            for _ in range(4):
                torch.mm(x_TD, square_DD)
            torch.mm(x_TD, up_DF)
            torch.mm(h_TF, down_FD)
            rounds += 1
        return rounds

    rounds, cpu, wall = clocked(run)
    flops = 2.0 * tokens * (4 * width * width + 2 * width * inner) * rounds
    return flops / cpu, flops / wall


def answer(pipe: Connection, kind: str, given: argparse.Namespace) -> None:
    """The child: encode when asked, and send (vectors, CPU seconds, seconds, more)."""
    import torch
    from sentence_transformers import SentenceTransformer

    from irctl.config import from_sets, resolve
    from irctl.data.collections.open import open_collection
    from irctl.models.encoder import load_encoder

    if given.threads:
        torch.set_num_threads(given.threads)
    corpus = open_collection(given.data).corpus
    every = max(1, len(corpus) // given.rows) if given.rows else 1
    texts = corpus.texts(np.arange(0, len(corpus), every)[: given.rows or None])
    encoder = load_encoder(resolve(from_sets(given.set)), given.model)
    config: Any = encoder.module.config
    linear = [m for n, m in encoder.module.named_modules() if isinstance(m, torch.nn.Linear) and "pooler" not in n]
    more: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "batch_tokens": encoder.batch_tokens,
        "weights": sum(m.weight.numel() for m in linear),  # 10.6 million in all-MiniLM-L6-v2
    }
    if kind == "irctl":
        encode: Callable[[list[str]], Any] = encoder.encode
        tokens: list[int] = []
        encoder.encode(texts, advance=lambda rows, count: tokens.append(count))
        more["tokens"] = sum(tokens)
    else:
        theirs = SentenceTransformer(str(encoder.located.folder), device="cpu", model_kwargs={"dtype": torch.float32})

        def encode(texts: list[str]) -> Any:
            return theirs.encode(texts, batch_size=given.their_batch, show_progress_bar=False)

        encode(texts[:WARM_UP])
    pipe.send(more)
    while pipe.recv():
        before = gemm(encoder.batch_tokens, config.hidden_size, config.intermediate_size)
        vectors_ND, cpu, wall = clocked(lambda: encode(texts))
        after = gemm(encoder.batch_tokens, config.hidden_size, config.intermediate_size)
        pipe.send((vectors_ND, cpu, wall, [(a + b) / 2 for a, b in zip(before, after, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=350, help="documents, spread over the collection; 0: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", default="cranfield")
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--their-batch", type=int, default=32, help="batch_size of SentenceTransformer.encode")
    parser.add_argument("--threads", type=int, default=0, help="0: as torch likes")
    parser.add_argument("--set", action="append", default=[], help="a setting, such as encoder.batch_tokens=1024")
    given = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    spawn = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    about: dict[str, Any] = {}
    for kind in ("irctl", "sentence_transformers"):
        pipes[kind], theirs = spawn.Pipe()
        spawn.Process(target=answer, args=(theirs, kind, given), daemon=True).start()
        about |= pipes[kind].recv()
    rounds: dict[str, list[Any]] = {kind: [] for kind in pipes}
    difference = 0.0
    for number in range(given.rounds):
        for kind in sorted(pipes, reverse=bool(number % 2)):
            pipes[kind].send(True)
            rounds[kind].append(pipes[kind].recv())
        difference = max(
            difference, float(np.abs(rounds["irctl"][-1][0] - rounds["sentence_transformers"][-1][0]).max())
        )
    for pipe in pipes.values():
        pipe.send(False)
    print(json.dumps(report(given, about, rounds) | {"largest_difference": difference}, indent=1))  # noqa: T201


def report(given: argparse.Namespace, about: dict[str, Any], rounds: dict[str, list[Any]]) -> dict[str, Any]:
    spent = {
        kind: {"cpu_s": median(r[1] for r in done), "wall_s": median(r[2] for r in done)}
        for kind, done in rounds.items()
    }
    ours, theirs = spent["irctl"], spent["sentence_transformers"]
    flops = 2.0 * about["weights"] * about["tokens"]
    return {
        "schema": "irctl/bench-encode/1",
        "rows": len(rounds["irctl"][0][0]),
        "rounds": given.rounds,
        **about,
        "their_batch": given.their_batch,
        **spent,
        "ms_a_token_cpu": 1e3 * ours["cpu_s"] / about["tokens"],
        "tokens_per_s": about["tokens"] / ours["wall_s"],
        "ratio": {"cpu": theirs["cpu_s"] / ours["cpu_s"], "wall": theirs["wall_s"] / ours["wall_s"]},
        "gemm_gflops_a_cpu_s": median(r[3][0] for r in rounds["irctl"]) / 1e9,
        "share_of_gemm": {
            "cpu": median(flops / r[1] / r[3][0] for r in rounds["irctl"]),
            "wall": median(flops / r[2] / r[3][1] for r in rounds["irctl"]),
        },
        "rounds_cpu_s": {kind: [round(r[1], 2) for r in done] for kind, done in rounds.items()},
    }


if __name__ == "__main__":
    main()
