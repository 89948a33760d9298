"""Queries a CPU second of a scan of codes: blocks of 8,192 rows, blocks as chosen, and faiss; one thread each.

The same codes and queries for all, in one process; CPU seconds by getrusage. faiss is given one index that holds every
code, filled outside the clock, and k alone: no spare results, no order among ties. irctl reads its codes from a bundle
in the clock. Bar: .9 of IndexPQ, .6 of IndexPQFastScan. Peak memory is that of a process for irctl's scan alone.

python tests/benchmarks/bench_search_speed.py [--rows 1000000] [--queries 200] [--codes pq,fast,sq] [-k 1000]
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import functools
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from showing import show

from irctl.files import write_atomic
from irctl.index import scan, scan_block
from irctl.index.bundle import Bundle, locate_quantizer, open_bundle, write_bundle
from irctl.quantizers.shared import opening

DIM, TRAINED, PART, BEFORE = 256, 20_000, 100_000, 8192
CODES: dict[str, tuple[str, dict[str, Any], bool]] = {
    "pq": ("pq", {"m": 16, "bits": 8, "iterations": 5}, False),
    "fast": ("pq", {"m": 64, "bits": 4, "iterations": 5}, True),
    "sq": ("sq", {}, False),
    "rabitq": ("rabitq", {}, False),
    "rabitq4": ("rabitq", {"bits": 4}, False),
    "saq": ("saq", {}, False),
    "flat": ("flat", {"dtype": "float32"}, False),
}


def cpu() -> float:
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def vectors(rows: int, seed: int) -> NDArray[np.float32]:
    """Normal with a decaying spectrum [rows, DIM]."""
    spectrum_D = np.exp(-2 * np.arange(DIM) / DIM).astype(np.float32)
    return np.random.default_rng(seed).standard_normal((rows, DIM), dtype=np.float32) * spectrum_D


def make_bundle(folder: Path, name: str, settings: dict[str, Any], rows: int) -> None:
    quantizer = opening.make(name, settings, DIM)
    quantizer.fit(vectors(TRAINED, 1))
    inside = locate_quantizer(folder, name)
    quantizer.save(inside)
    parts = []
    for number, row in enumerate(range(0, rows, PART)):
        codes = quantizer.encode(vectors(min(PART, rows - row), 2 + number))
        file = f"codes/part-{number:05d}.npy"
        stored = write_atomic(folder / file, codes)
        parts.append({"file": file, "rows": len(codes), "row0": row, "bytes": stored.bytes, "sha256": stored.sha256})
    write_bundle(
        folder, method=name, dim=DIM, code_size=quantizer.code_size, metric="ip", parts=parts, quantizer=inside
    )


def timed(search: Callable[[], Any]) -> tuple[Any, float]:
    started = cpu()
    found = search()
    return found, cpu() - started


def in_faiss(bundle: Bundle, fast: bool) -> Any:
    """faiss's own index with every code."""
    index = bundle.quantizer.faiss_index()
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    for _, codes_NC in bundle.blocks(bundle.rows):
        inner.add_sa_codes(codes_NC)
    return faiss.IndexPQFastScan(inner) if fast else index


def compare(folder: Path, code: str, ks: list[int], queries: int) -> None:
    fast = CODES[code][2]
    bundle, queries_QD = open_bundle(folder, opening.load), vectors(queries, 0)
    index = in_faiss(bundle, fast)
    size = None if scan.is_scored(bundle) else bundle.code_size
    next(bundle.blocks(bundle.rows))  # hashes are checked once, outside the clock

    def search(k: int, block: int) -> tuple[scan.ScanResult, float]:
        return timed(lambda: scan.search_codes(queries_QD, bundle, k, block=block, fast=fast))

    for k in ks:
        block = scan_block.choose(0, k, size)

        (old, old_s), (new, new_s) = search(k, BEFORE), search(k, block)
        (_, faiss_Qk), faiss_s = timed(functools.partial(index.search, queries_QD, k))
        exact_Qk = scan.search_codes(queries_QD, bundle, k).rows_Qk if fast else old.rows_Qk
        show(
            f"{code:8} {k:5} {queries / old_s:9.1f} {queries / new_s:9.1f} {queries / faiss_s:9.1f} "
            f"{faiss_s / new_s:9.2f} {block:8} {share(new.rows_Qk, old.rows_Qk):9.4f} "
            f"{share(new.rows_Qk, exact_Qk):9.4f} {recall(new.rows_Qk, faiss_Qk):9.4f} "
            f"{peak(folder, code, k, queries):8.0f}"
        )


def share(a_Qk: NDArray[np.int64], b_Qk: NDArray[np.int64]) -> float:
    """Of the queries, with the same ids in the same order."""
    return float((a_Qk == b_Qk).all(axis=1).mean())


def recall(a_Qk: NDArray[np.int64], b_Qk: NDArray[np.int64]) -> float:
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(a_Qk, b_Qk, strict=True)]))


def peak(folder: Path, code: str, k: int, queries: int) -> float:
    """MiB of a process that searches once."""
    words = [sys.executable, __file__, "--alone", str(folder), "--codes", code, "-k", str(k), "--queries", str(queries)]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def search_alone(folder: Path, code: str, k: int, queries: int) -> None:
    bundle = open_bundle(folder, opening.load)
    scan.search_codes(vectors(queries, 0), bundle, k, fast=CODES[code][2])
    show(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--codes", default="pq,fast")
    parser.add_argument("-k", default="", help="default: 10, 100 and 1000, for the approximate scan 1000")
    parser.add_argument("--alone", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    faiss.omp_set_num_threads(1)
    if given.alone:
        return search_alone(Path(given.alone), given.codes, int(given.k), given.queries)
    show(f"{'codes':8} {'k':>5} {'q/s 8192':>9} {'chosen':>9} {'faiss':>9} {'of faiss':>9} {'block':>8} "
         f"{'as 8192':>9} {'as exact':>9} {'as faiss':>9} {'peak MiB':>8}")  # fmt: skip
    for code in given.codes.split(","):
        name, settings, fast = CODES[code]
        with tempfile.TemporaryDirectory() as folder:
            make_bundle(Path(folder), name, settings, given.rows)
            ks = [int(k) for k in given.k.split(",")] if given.k else [1000] if fast else [10, 100, 1000]
            compare(Path(folder), code, ks, given.queries)
    return None


if __name__ == "__main__":
    main()
