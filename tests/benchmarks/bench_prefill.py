"""Prefill of a compressed context against that of the whole one: CPU seconds measured, operations counted, the law.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_prefill.py [--context 512] [--rest 40] [--hidden 256] [--repeats 9]

A random language model of 8 layers, an encoder of its first 2; the least CPU time of the repeats counts, whole and
compressed in turn. With kept rows no encoder runs: its calls are counted.
Measured on one core of a busy machine, H 256, S 512, P 40, at 2, 4, 8, 16x: speed-up 1.33, 1.72, 2.12, 2.36, with kept
rows 1.98, 3.04, 4.15, 5.47 (no encoder call); operations .702, .479, .378, .330, by the law .768, .536, .420, .362:
it leaves attention over pairs of tokens out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from showing import show
from transformers import LlamaConfig, LlamaForCausalLM

from irctl.models.compressive import cost
from irctl.models.compressive.chunks import split_context
from irctl.models.compressive.encoder import CompressiveEncoder, keep_rows
from irctl.models.compressive.generation import Prompt, generate
from irctl.models.compressive.soft_context import Parts
from irctl.models.locate import LocatedModel

LAYERS, ENCODER = 8, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("context", 512), ("rest", 40), ("hidden", 256), ("repeats", 9)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        measure(folder, asked)


def measure(folder: Path, asked: argparse.Namespace) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1000, hidden_size=asked.hidden, intermediate_size=3 * asked.hidden, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=asked.context + asked.rest + 8,
    )  # fmt: skip
    lm = LlamaForCausalLM(config).eval()
    lm.save_pretrained(folder)
    encoder = CompressiveEncoder.cut(LocatedModel(folder, "random", "", "folder"), ENCODER).eval()
    calls: list[int] = []
    encoder.register_forward_hook(lambda *_: calls.append(1))
    ids = torch.randint(3, 1000, (asked.context + asked.rest,)).tolist()
    head, tail = tuple(ids[: asked.rest // 2]), tuple(ids[asked.context + asked.rest // 2 :])
    context = ids[asked.rest // 2 : asked.context + asked.rest // 2]
    whole = Prompt(Parts(head=(*head, *context), tail=tail))

    def rows(ratio: int) -> torch.Tensor:
        (chunk,) = split_context(context, chunk_tokens=asked.context)
        with torch.inference_mode():
            return keep_rows(encoder.encode([chunk])[0], chunk, ratio, "stride")

    def read(rows_RH: torch.Tensor) -> None:
        generate(lm, [Prompt(Parts(head=head, rows=len(rows_RH), tail=tail), rows_RH)], most=1, end=None)

    described = json.loads((folder / "config.json").read_text())
    show("ratio  speed-up  with kept rows  operations counted  with attention predicted  law  encoder calls kept")
    for ratio in (1, 2, 4, 8, 16):
        kept = rows(ratio)
        made = least(asked.repeats, lambda: generate(lm, [whole], most=1, end=None), lambda: read(rows(ratio)))  # noqa: B023
        before = len(calls)
        stored = least(asked.repeats, lambda: generate(lm, [whole], most=1, end=None), lambda: read(kept))  # noqa: B023
        sizes = (asked.context, asked.rest, ratio, ENCODER)
        show(
            f"{ratio:5}  {made:7.2f}x  {stored:13.2f}x  {cost.count(folder, *sizes):18.3f}  "
            f"{cost.predict(described, *sizes):24.3f}  {cost.law(*sizes, LAYERS):.3f}  {len(calls) - before}"
        )


def least(repeats: int, first: Callable[[], object], second: Callable[[], object]) -> float:
    """The first's least CPU time over the second's, run in turn."""
    times: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(repeats):
        for i, work in enumerate((first, second)):
            began = time.process_time()
            work()
            times[i].append(time.process_time() - began)
    return min(times[0]) / min(times[1])


if __name__ == "__main__":
    main()
