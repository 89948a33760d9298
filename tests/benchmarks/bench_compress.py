"""Compression: rows a CPU second from parquet to codes, and recall at equal measured bytes on a synthetic set.

    python tests/benchmarks/bench_compress.py [--rows 60000] [--dim 1024] [--decay 0.5] [--only pq] [--quality]

Bar: PQ with 16 bytes at 1024 dimensions, parquet to codes, 20,000 rows a second on two cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from irctl import config as configuration
from irctl.data.vectors import open_vectors
from irctl.index.scoring import similarity
from irctl.index.topk import top_k
from irctl.ledger.recording import start_run
from irctl.metrics.distortion import relative_mse
from irctl.metrics.recall import recall_at
from irctl.pipelines.compress import compress
from irctl.quantizers import _open
from irctl.types import Silent

QUERIES = 200
EXPECTED = 20_000  # rows a second on two cores: the bar for PQ16x8
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("pq", {"m": 16}),
    ("opq", {"m": 16, "iterations": 10}),
    ("pq", {"m": 128, "bits": 4}),
    ("saq", {"bits": 0.5}),
    ("rabitq", {}),
    ("saq", {"bits": 1.0}),
    ("rabitq", {"bits": 2}),
    ("saq", {"bits": 2.0}),
    ("sq", {"bits": 4}),
    ("rabitq", {"bits": 4}),
    ("saq", {"bits": 4.0}),
    ("sq", {"bits": 8}),
]


def write_parquet(path: Path, rows: int, dim: int, decay: float) -> None:
    """The synthetic set as plain parquet: emb list<float>, docid."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for block in open_vectors(f"synthetic:{rows},{dim},{decay}").blocks(10_000):
        n = len(block.vectors_ND)
        offsets = pa.array(np.arange(0, (n + 1) * dim, dim, dtype=np.int32))
        vectors = pa.ListArray.from_arrays(offsets, pa.array(block.vectors_ND.ravel()))
        ids = pa.array([f"doc{i}" for i in range(block.start, block.start + n)])
        table = pa.table({"docid": ids, "emb": vectors})
        writer = writer or pq.ParquetWriter(path, table.schema, compression="none", use_dictionary=False)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def throughput(folder: Path, rows: int, dim: int, decay: float, only: str) -> None:
    """End to end, without training and probe: reader, encoder and writer each by its own CPU seconds."""
    source = folder / "vectors.parquet"
    write_parquet(source, rows, dim, decay)
    show(
        f"parquet of {rows} rows x {dim}, batches of 10,000; K rows a CPU second of each stage, K rows a second in all"
    )
    show(f"{'method':16} {'bytes':>6} {'reader':>8} {'encoder':>8} {'writer':>8} {'wall':>8}")
    for name, settings in METHODS:
        if only and name not in only.split(","):
            continue
        out = folder / f"{name}{'-'.join(map(str, settings.values()))}"
        pairs = [f"compress.source={source}", f"compress.method={name}", "compress.probe=0", "compress.train_size=5000"]
        pairs += [f"{name}.{k}={v}" for k, v in settings.items()]
        config = configuration.resolve(configuration.from_sets(pairs))
        run = start_run(command="compress", argv=["bench"], config=config)
        with run:
            compress(config, run, Silent(), out=str(out), stream=True, train_only=True)
            started = time.perf_counter()
            row = compress(config, run, Silent(), out=str(out), stream=True)["results"][0]
            wall = rows / (time.perf_counter() - started)
        rates = [row[f"{stage}_rows_per_cpu_s"] / 1000 for stage in ("reader", "encoder", "writer")]
        shown = " ".join(f"{r:8.1f}" for r in rates)
        bar = "" if (name, settings) != METHODS[0] else f"  (bar {EXPECTED / 1000:.0f})"
        show(f"{label(name, settings):16} {row['code_size']:6} {shown} {wall / 1000:8.1f}{bar}")


def quality(dim: int, decay: float, only: str) -> None:
    """Section of the table at equal bytes: 20,000 base rows, 40,000 others for training, 200 queries."""
    stream = open_vectors(f"synthetic:60200,{dim},{decay}")
    x = stream.take(np.arange(stream.rows))
    queries, base, train = x[:QUERIES], x[QUERIES : QUERIES + 20_000], x[QUERIES + 20_000 :]
    exact = top_k(similarity(queries, base, "ip"), 100)[1]
    show(f"\nrecall of exact neighbours, {len(base)} rows x {dim}, decay {decay}")
    show(
        f"{'method':16} {'bytes':>6} {'train s':>8} {'K rows/s':>9} {'q/s':>7} {'R@10':>6} {'R@100':>6} {'rel. MSE':>9}"
    )
    for name, settings in METHODS:
        if only and name not in only.split(","):
            continue
        quantizer = _open.make(name, settings, dim)
        t0 = time.process_time()
        quantizer.fit(train)
        t1 = time.process_time()
        codes = quantizer.encode(base)
        t2 = time.process_time()
        found = quantizer.search(queries, codes, 100)[1]
        t3 = time.process_time()
        # R@100 of the ten nearest: how deep re-scoring has to look
        deep = np.mean([len(set(e[:10]) & set(f)) / 10 for e, f in zip(exact, found, strict=True)])
        show(
            f"{label(name, settings):16} {codes.shape[1]:6} {t1 - t0:8.2f} {len(base) / (t2 - t1) / 1000:9.1f} "
            f"{QUERIES / (t3 - t2):7.0f} {recall_at(found, exact, 10):6.3f} {deep:6.3f} "
            f"{relative_mse(base, quantizer.decode(codes)):9.4f}",
        )


def label(name: str, settings: dict[str, Any]) -> str:
    """pq m=16"""
    return " ".join([name, *(f"{k}={v}" for k, v in settings.items() if k != "iterations")])


def show(line: str) -> None:
    """A line of the report, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--decay", type=float, default=0.5)
    parser.add_argument("--only", default="", help="methods, such as pq,saq")
    parser.add_argument("--quality", action="store_true", help="also the table of recall (minutes)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        import os

        os.environ["IRCTL_RUNS"] = str(Path(name) / "runs")
        throughput(Path(name), given.rows, given.dim, given.decay, given.only)
    if given.quality:
        quality(given.dim, given.decay, given.only)


if __name__ == "__main__":
    sys.exit(main())
