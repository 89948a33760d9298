"""A step of training against codes, without the encoder: CPU seconds, and memory above a process that has started.

Bars: .5 CPU seconds a step (128 queries, k 200, 25,000 rows); codes + 64 MB. A report; nothing is asserted.

    python tests/benchmarks/bench_stage2.py [--rows 25000,2000000] [--dim 768] [--slices 48] [--bits 8] [--queries 128]

Codes are drawn at random. Each number of rows is a process of its own; the first step, which loads things, is apart.
Dimension key: N rows, D dimensions, C code bytes, M slices, K centroids a slice, B queries.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from showing import show

from irctl.files import write_atomic
from irctl.index import shards
from irctl.index.bundle import locate_quantizer, open_bundle, write_bundle
from irctl.quantizers import opq
from irctl.quantizers.shared import opening
from irctl.training.index.fixed_index import CodeIndex
from irctl.training.index.query_sides import Adapter
from irctl.training.index.retrieved import Judgements, Retrieved, with_views
from irctl.training.index.trained_codes import TrainedCodes
from irctl.training.objective.objective import Objective
from irctl.training.objective.terms import Part

MB = 10**6
K, STEPS, PART_ROWS = 200, 5, 250_000


class OnePositive:
    """Labels of the benchmark: each query has one relevant row."""

    positive_from = 1.0

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def known(self, query: int) -> Judgements:
        return Judgements(str(query), np.array([query * 97 % self.rows]), np.ones(1, np.float32))


def make_bundle(folder: Path, rows: int, dim: int, slices: int, bits: int) -> None:
    rng = np.random.default_rng(0)
    quantizer = opq.Quantizer(opq.Config(m=slices, bits=bits), dim)
    quantizer.rotation_ED = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)
    quantizer.centroids_MKd = rng.standard_normal((slices, 1 << bits, dim // slices), np.float32) / dim**0.5
    trained = locate_quantizer(folder, "opq")
    quantizer.save(trained)
    parts = []
    for number, row0 in enumerate(range(0, rows, PART_ROWS)):
        n, file = min(PART_ROWS, rows - row0), f"codes/part-{number:05d}.npy"
        written = write_atomic(folder / file, rng.integers(0, 256, (n, quantizer.code_size), np.uint8))
        part = {"file": file, "rows": n, "row0": row0, "bytes": written.bytes, "sha256": written.sha256}
        parts.append(part | shards.write_part_ids(folder, f"ids/part-{number:05d}.arrow", list(map(str, range(n)))))
    size = quantizer.code_size
    write_bundle(folder, method="opq", dim=dim, code_size=size, metric="ip", parts=parts, quantizer=trained)


def peak_mb() -> float:
    """Not ru_maxrss, which a process inherits from the one that started it."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 / MB


def start_as_for_an_encoder() -> None:
    """What any training loads: faiss, the backward pass, an optimizer."""
    import faiss  # noqa: F401

    layer = torch.nn.Linear(8, 8)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(2, 8)).sum().backward()
    optimizer.step()


def measure(folder: Path, queries: int) -> None:
    """In a process of its own: prints its numbers as JSON."""
    start_as_for_an_encoder()
    started = peak_mb()
    bundle = open_bundle(folder, opening.load)
    codes, side = TrainedCodes(bundle), Adapter(bundle.dim)
    candidates = Retrieved(CodeIndex(codes, "ip"), OnePositive(bundle.rows), k=K, seed=0)
    loss = Objective(with_views([Part("infonce", 1.0, "own", {}, 1.0)]), learn_temperature=False, warn=show)
    optimizer = torch.optim.AdamW([codes.layer.centroids, *side.parameters()], lr=1e-4)
    queries_BD = torch.randn(queries, bundle.dim, generator=torch.Generator().manual_seed(0))
    seconds = []
    for step in range(STEPS + 1):
        began = time.process_time()
        items = [(step * queries + i, 0) for i in range(queries)]
        scored = candidates.score(side(queries_BD), items, [queries])
        total, _ = loss(scored.scores_BN, scored.views)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        seconds.append(time.process_time() - began)
    found = {"first": seconds[0], "step": min(seconds[1:]), "mb": peak_mb() - started}
    show(json.dumps(found | {"codes": bundle.rows * bundle.code_size / MB}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="25000,2000000")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    for name, value in (("dim", 768), ("slices", 48), ("bits", 8), ("queries", 128)):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    if args.measure:
        return measure(Path(args.measure), args.queries)
    show(f"{'rows':>9} {'first step':>10} {'CPU s a step (bar .5)':>22} {'codes MB':>9} {'above start':>12} {'bar':>6}")
    for rows in map(int, args.rows.split(",")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "bundle"
            make_bundle(folder, rows, args.dim, args.slices, args.bits)
            command = [sys.executable, __file__, "--measure", str(folder), "--queries", str(args.queries)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            m = json.loads(done.stdout.splitlines()[-1])
            show(
                f"{rows:>9,} {m['first']:>10.2f} {m['step']:>22.3f} {m['codes']:>9.1f} {m['mb']:>12.1f} "
                f"{m['codes'] + 64:>6.0f}"
            )


if __name__ == "__main__":
    main()
