"""A step of distillation against a corpus too large for all its documents to be candidates: CPU seconds and memory.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_distill_step.py [--documents 25000] [--queries 128] [--k 200]

Measured on one core: .28 CPU s a step (16,000 candidates shared by 128 queries), 143 MB above the libraries and the
vectors, most of it copies of the scores in the loss.
Dimension key: N documents, D dimensions, M slices, B queries.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from showing import show

from irctl.data.vectors.open import open_vectors
from irctl.losses import distill
from irctl.quantizers import learned
from irctl.training.index.candidates import BatchBest
from irctl.training.index.kept_queries import QueryBatch
from irctl.training.index.teacher import Teacher
from irctl.training.index.trained_codes import TrainedCodes

D, M, STEPS = 384, 48, 4
SETTINGS = distill.Config(temperature=0.05, label_temperature=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=25_000)
    parser.add_argument("--queries", type=int, default=128)
    parser.add_argument("--k", type=int, default=200)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.npy"
        rows_ND = rng.standard_normal((asked.documents, D)).astype(np.float32) * np.arange(1, D + 1) ** -0.3
        np.save(file, (rows_ND / np.linalg.norm(rows_ND, axis=1, keepdims=True)).astype(np.float32))
        codes_NM = rng.integers(0, 256, (asked.documents, M)).astype(np.uint8)
        quantizer = learned.Quantizer.of_arrays(None, 0.05 * rng.standard_normal((M, 256, D // M)))
        bundle = SimpleNamespace(
            rows=asked.documents, code_size=M, quantizer=quantizer, blocks=lambda size: iter([(0, codes_NM)])
        )
        del rows_ND
        before = _peak_mb()
        codes = TrainedCodes(bundle)  # type: ignore[arg-type]
        candidates = BatchBest(codes, Teacher(open_vectors(file), is_cosine=False), asked.k)
        optimizer = torch.optim.Adam(codes.layer.parameters(), 1e-3)
        for _ in range(STEPS):
            queries_BD = torch.randn(asked.queries, D) / D**0.5
            began = time.process_time()
            found = candidates(QueryBatch(queries_BD, torch.full((asked.queries,), -1)))
            scores_BU = codes.scores(queries_BD, found.codes_UM)
            loss = distill.loss(scores_BU, found.teacher_BU, found.mask_BU, SETTINGS)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            spent = time.process_time() - began
            show(f"{len(found.codes_UM)} candidates, {spent:.3f} CPU s, {_peak_mb() - before:.0f} MB above the start")


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
