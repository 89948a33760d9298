"""Balanced assignment: CPU seconds, and how evenly codes fall beside nearest ones. A report; nothing is asserted.

    python tests/benchmarks/bench_sinkhorn.py [--vectors FILE.npy] [--rows 4096] [--slices 48] [--bits 8] [--threads 2]

Without a file, a skewed mixture of 300 Gaussians a slice of 16 dimensions. With one, its first rows after OPQ.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from showing import show

from irctl.models.codes import sinkhorn
from irctl.models.codes.pq_layer import PqLayer
from irctl.quantizers import opq
from irctl.quantizers.shared import faiss_tools


def mixture(rows: int, slices: int, d: int = 16) -> torch.Tensor:
    """Vectors of 300 groups a slice, the first of which hold most of them [X, E]."""
    generator = torch.Generator().manual_seed(0)
    weights = 1 / torch.arange(1, 301).float()
    parts = []
    for _ in range(slices):
        group_X = torch.multinomial(weights, rows, replacement=True, generator=generator)
        noise = 0.5 * torch.randn(rows, d, generator=generator)
        parts.append(torch.randn(300, d, generator=generator)[group_X] + noise)
    return torch.cat(parts, 1)


def opened(args: argparse.Namespace) -> tuple[PqLayer, torch.Tensor]:
    """(layer, rotated vectors [X, E])."""
    if args.vectors:
        x_ND = np.load(args.vectors, mmap_mode="r").astype(np.float32)
        quantizer = opq.Quantizer(opq.Config(m=args.slices, bits=args.bits), x_ND.shape[1])
        quantizer.fit(x_ND)
        layer = PqLayer(torch.from_numpy(quantizer.rotation_ED), torch.from_numpy(quantizer.centroids_MKd))
        return layer, layer.rotate(torch.from_numpy(x_ND[: args.rows]))
    x_XE = mixture(args.rows, args.slices)
    trained_MKd = faiss_tools.train_pq(
        x_XE.numpy(), args.slices, args.bits, iterations=10, points_per_centroid=256, seed=1
    )
    return PqLayer(torch.eye(x_XE.shape[1]), torch.from_numpy(trained_MKd)), x_XE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors")
    for name, value in (("rows", 4096), ("slices", 48), ("bits", 8), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    layer, rotated_XE = opened(args)
    k = layer.centroids.shape[1]
    show(f"X {len(rotated_XE)}, K {k}, M {args.slices}, {args.threads} threads")
    began = time.process_time()
    plan = sinkhorn.assign(rotated_XE, layer.centroids, range(args.slices), eps=0.003, rounds=100)
    show(f"{time.process_time() - began:.1f} CPU seconds (bar 60 for 4096 x 256 x 48)")
    show("row error, largest and mean: " + ", ".join(f"{v:.3f}" for v in plan.row_errors_S2.mean(0).tolist()))
    for name, codes_XM in (("balanced", plan.codes_XS), ("nearest", layer.assign(rotated_XE))):
        spread = sinkhorn.measure_balance(codes_XM, k).spread()
        error = (layer.decode(codes_XM).detach() - rotated_XE).square().sum(1).mean()
        measures = [f"{measure} {float(value):.3f}" for measure, value in spread.items()]
        show(f"{name}: {', '.join(measures)}, squared error {float(error):.4g}")


if __name__ == "__main__":
    main()
