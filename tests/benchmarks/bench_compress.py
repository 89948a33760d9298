"""Compression against its bars: reading, parquet to codes, training, encoding, memory. One run, ratios, CPU seconds.

    python tests/benchmarks/bench_compress.py [--rows 100000] [--dim 1024] [--methods sq,pq]
        [--parts read,stream,whole,train,encode,memory]

Each part compares with the plain way in the same process, taking turns: the loop over items of a streamed data set,
and faiss's own `sa_encode` on vectors that are in memory already. A report: nothing is asserted on a clock.

Dimension key: N rows, D dimensions.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from compress_phases import REST, START, WHOLE, phases_of
from showing import label, show

from irctl import config as configuration
from irctl.data.vectors import allocator
from irctl.data.vectors.open import open_vectors
from irctl.index import threads
from irctl.index.bundle import locate_quantizer
from irctl.index.plan import ROW_BLOCK
from irctl.ledger.recording import start_run
from irctl.pipelines.compress.compress import compress
from irctl.pipelines.compress.request import CompressRequest
from irctl.quantizers.shared import faiss_tools, opening, rotations
from irctl.types import Silent

PARTS = ("read", "stream", "whole", "train", "encode", "memory")
ITEM_ROWS = 10_000  # of the slow loop
STREAMED: list[tuple[str, dict[str, Any], str, str]] = [  # method, settings, faiss alone, bar
    ("pq", {"m": 16}, "PQ16x8np", ">= 1.0"),
    ("rabitq", {"bits": 1}, "RaBitQ", ">= 0.8"),
    ("rabitq", {"bits": 1}, "RR,RaBitQ", ">= 0.8"),
    ("sq", {"bits": 8}, "SQ8", ">= 0.4"),
]
MEMORY = """
import resource, sys
from irctl import config as c
from irctl.ledger.recording import start_run
from irctl.pipelines.compress.compress import compress
from irctl.types import Silent
pairs = [f"compress.source={sys.argv[1]}", "compress.method=" + sys.argv[4], f"compress.train_size={sys.argv[3]}",
         "compress.batch=1000", f"compress.max_batches={sys.argv[2]}", "compress.probe=0", "sq.clip_quantile=0",
         "compress.stream=true"]
config = c.resolve(c.from_sets(pairs))
run = start_run(command="compress", argv=["bench"], config=config)
with run:
    compress(config, run, Silent())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def cpu(work: Callable[[], Any]) -> float:
    """CPU seconds of all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


def turns(rounds: int, *work: Callable[[], Any]) -> list[float]:
    """Median CPU seconds of each, after one turn that does not count: taking turns, all meet the same machine."""
    for one in work:
        one()
    spent = [[cpu(one) for one in work] for _ in range(rounds)]
    return [median(column) for column in zip(*spent, strict=True)]


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


def reading(source: Path, rows: int, rounds: int) -> None:
    """Rows a CPU second of our reader, and of the loop of the streaming guide."""
    from datasets import load_dataset

    def items() -> None:
        data = load_dataset("parquet", data_files=str(source), streaming=True, split="train")
        batch = []
        for number, item in enumerate(data):
            if number == ITEM_ROWS:
                break
            batch.append(item["emb"])
        np.array(batch, dtype=np.float32)

    def ours() -> None:
        for _ in open_vectors(source).blocks(10_000):
            pass

    mine, theirs = turns(rounds, ours, items)
    ratio = (rows / mine) / (ITEM_ROWS / theirs)
    show(f"reading   {rows / mine:10,.0f} rows/CPU-s; item loop {ITEM_ROWS / theirs:8,.0f}; {ratio:5.1f}x (bar >= 25)")


def streaming(folder: Path, source: Path, rows: int, x_ND: Any, rounds: int) -> None:
    """Parquet to codes on disk, trained before, against faiss's sa_encode alone."""
    import faiss

    show(f"\n{'parquet to codes':24} {'bytes':>6} {'K rows/CPU-s':>13} {'K rows/s':>9}  stages: reader encoder writer")
    for number, (name, settings, factory, bar) in enumerate(STREAMED):
        index = faiss.index_factory(x_ND.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        index.train(x_ND[:20_000])
        ours, theirs, walls, rates = [], [], [], []
        for turn in range(rounds + 1):
            out = folder / f"{number}-{turn}"
            pairs = [f"compress.source={source}", f"compress.method={name}", "compress.probe=0"]
            pairs += [
                "compress.stream=true",
                "compress.train_size=20000",
                *(f"{name}.{k}={v}" for k, v in settings.items()),
            ]
            config = configuration.resolve(configuration.from_sets(pairs))
            run = start_run(command="compress", argv=["bench"], config=config)
            with run:
                compress(config, run, Silent(), CompressRequest(out=str(out), train_only=True))
                began, wall = time.process_time(), time.perf_counter()
                row = compress(config, run, Silent(), CompressRequest(out=str(out)))["results"][0]
                spent, wall = time.process_time() - began, time.perf_counter() - wall
            alone = cpu(lambda index=index: [index.sa_encode(x_ND[i : i + 10_000]) for i in range(0, rows, 10_000)])
            if turn:  # the first is warm-up
                ours.append(spent)
                theirs.append(alone)
                walls.append(wall)
                rates.append([row[f"{stage}_rows_per_cpu_s"] / 1000 for stage in ("reader", "encoder", "writer")])
        mine, his = rows / median(ours) / 1000, rows / median(theirs) / 1000
        stages = " ".join(f"{median(c):7.1f}" for c in zip(*rates, strict=True))
        show(
            f"{label(name, settings):24} {row['code_size']:6} {mine:13.1f} {rows / median(walls) / 1000:9.1f}  {stages}"
            f"   {factory} alone {his:6.1f}: {mine / his:4.2f}x (bar {bar})"
        )


def whole(folder: Path, source: Path, methods: Sequence[str], rows: int, rounds: int) -> None:
    """Whole commands in processes of their own, with training and measuring and with a quantizer that is there.

    The floor is what must be done to have the codes: reading and encoding, one after the other in one process.
    """
    array = folder / "vectors.npy"
    if not array.is_file():
        np.save(array, open_vectors(source).take(np.arange(rows)))
    environment = {**os.environ, "IRCTL_CACHE": str(folder / "cache")}
    for method in methods:
        trained = folder / f"trained-{method}"
        settings = ["--method", method, "--stream", *(["--set", "pq.m=16"] if method == "pq" else [])]
        phases_of(["--data", str(source), "--out", str(trained), "--train-only", *settings], environment)
        reuse = ["--init", str(trained), "--set", "compress.probe=0"]
        for path in (source, array):
            floors, runs = [], []
            for turn in range(rounds):
                floors.append(_read_and_encode(path, locate_quantizer(trained, method)))
                pair = []
                for kind, more in (("all", []), ("codes", reuse)):
                    out = folder / f"whole-{method}{path.suffix}-{kind}{turn}"
                    pair.append(phases_of(["--data", str(path), "--out", str(out), *settings, *more], environment))
                    shutil.rmtree(out)
                runs.append(pair)
            _show_phases(f"{method} of {path.suffix[1:]}", rows, floors, runs)


def _read_and_encode(source: Path, trained: Path) -> tuple[float, float]:
    """CPU seconds of reading all and of encoding all, in turns block by block."""
    allocator.keep_freed_memory()
    quantizer, blocks, spent = opening.load(trained), iter(open_vectors(source).blocks(10_000)), [0.0, 0.0]
    with threads.leave_cpus(1):
        while True:
            began = time.process_time()
            block = next(blocks, None)
            read = time.process_time()
            spent[0] += read - began
            if block is None:
                return spent[0], spent[1]
            quantizer.encode(block.vectors_ND)
            spent[1] += time.process_time() - read


def _show_phases(what: str, rows: int, floors: Sequence[tuple[float, float]], runs: Sequence[Any]) -> None:
    read, encode = (median(column) for column in zip(*floors, strict=True))
    floor = read + encode
    found = [{name: median(run[kind].get(name, 0.0) for run in runs) for name in runs[0][0]} for kind in (0, 1)]
    show(f"\nwhole     {what}: floor {rows / floor:,.0f} rows/CPU-s: read {read:.2f} s, encode {encode:.2f} s")
    for name, seconds in zip(("with training and measuring", "by a quantizer that is there"), found, strict=True):
        total, begin = seconds[WHOLE], seconds[START]
        show(f"  {name:29} {total:6.2f} s, {rows / total:9,.0f} rows/CPU-s: {floor / total:.2f} of the floor, "
             f"{floor / (total - begin):.2f} without start and imports")  # fmt: skip
    for name in (*(n for n in found[0] if n not in (REST, WHOLE)), REST):
        show(f"    {name:27} {found[0][name]:6.2f} s {found[1][name]:6.2f} s")


def training(x_ND: Any) -> None:
    """CPU seconds of PQ16x8, 25 rounds."""
    quantizer = opening.make("pq", {"m": 16, "iterations": 25}, x_ND.shape[1])
    spent = cpu(lambda: quantizer.fit(x_ND))
    show(f"\ntraining  PQ16x8 on {len(x_ND)} rows, 25 rounds: {spent:.1f} CPU s (bar <= 25), no polysemous training")


def encoding(x_ND: Any, rounds: int) -> None:
    """PQ by matrix products against faiss with the same centroids; RaBitQ and faiss's; SAQ's rate."""
    import faiss

    x_ND = x_ND[:20_000]
    quantizer = opening.make("pq", {"m": 16}, x_ND.shape[1])
    quantizer.fit(x_ND)
    index = faiss.IndexPQ(x_ND.shape[1], 16, 8, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(np.ascontiguousarray(quantizer.centroids_MKd).ravel(), index.pq.centroids)
    index.is_trained = True
    same = float((quantizer.encode(x_ND) == index.sa_encode(x_ND)).all(axis=1).mean())
    mine, theirs = turns(rounds, lambda: quantizer.encode(x_ND), lambda: index.sa_encode(x_ND))
    show(
        f"\nencoding  PQ16x8 {len(x_ND) / mine:9,.0f} rows/CPU-s, faiss {len(x_ND) / theirs:8,.0f}: "
        f"{theirs / mine:4.2f}x (bar >= 2); equal codes in {same:.2%} of the rows"
    )
    signs = opening.make("rabitq", {}, x_ND.shape[1])
    signs.fit(x_ND)
    turned_ND = rotations.apply(signs._rotation, x_ND)
    index = faiss_tools.rabitq_index(signs.center_D, 1, "ip")
    mine, turning, his = turns(
        rounds,
        lambda: signs.encode(x_ND),
        lambda: rotations.apply(signs._rotation, x_ND),
        lambda: index.sa_encode(turned_ND),
    )
    show(
        f"encoding  RaBitQ 1 bit {len(x_ND) / mine:9,.0f} rows/CPU-s; rotation alone {len(x_ND) / turning:9,.0f}, "
        f"faiss on rotated rows {len(x_ND) / his:9,.0f}: {(turning + his) / mine:4.2f}x"
    )
    for bits, bar in ((1.0, 15_000), (2.0, None), (4.0, 5_000)):
        saq = opening.make("saq", {"bits": bits}, x_ND.shape[1])
        saq.fit(x_ND)
        without = opening.make("saq", {"bits": bits, "rounds": 0}, x_ND.shape[1])
        without.fit(x_ND)
        full, plain = turns(rounds, lambda saq=saq: saq.encode(x_ND), lambda without=without: without.encode(x_ND))
        wanted = f" (bar >= {bar:,})" if bar else ""
        show(
            f"encoding  SAQ {bits} bits, {saq.code_size} bytes: {len(x_ND) / full:8,.0f} rows/CPU-s{wanted}, "
            f"{len(x_ND) / plain:8,.0f} without adjustment"
        )


def memory(folder: Path, source: Path, dim: int, train: int) -> None:
    """Peak RSS of whole runs of 10 and of 100 batches of 1,000 rows, each in a process of its own."""
    sample = train * dim * 4 / 2**20
    show(f"\nmemory    training sample of {train} rows: {sample:.0f} MiB; bar: sample + 500 MB, flat in batches")
    for method in ("sq", "saq", "rabitq"):
        found = []
        for batches in (10, 100):
            command = [sys.executable, "-c", MEMORY, str(source), str(batches), str(train), method]
            done = subprocess.run(
                command,
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, "IRCTL_RUNS": str(folder / f"m{method}{batches}")},
            )
            found.append(float(done.stdout.split()[-1]))
        show(f"memory    {method:8} peak RSS at 10 batches {found[0]:7.0f} MiB, at 100 {found[1]:7.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--decay", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--methods", default="sq", help="of the part whole")
    given = parser.parse_args()
    parts = given.parts.split(",")
    assert set(parts) <= set(PARTS) and given.rows % ROW_BLOCK == 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["IRCTL_RUNS"] = str(folder / "runs")
        source = folder / "vectors.parquet"
        write_parquet(source, given.rows, given.dim, given.decay)
        facts = {"rows": given.rows, "dim": given.dim, "decay": given.decay, "cores": os.cpu_count()}
        show(json.dumps(facts))
        if "memory" in parts:  # before this process is large itself
            memory(folder, source, given.dim, given.rows)
        if "read" in parts:
            reading(source, given.rows, given.rounds)
        x_ND = open_vectors(source).take(np.arange(given.rows)) if set(parts) & {"stream", "train", "encode"} else None
        if "stream" in parts:
            streaming(folder, source, given.rows, x_ND, given.rounds)
        if "whole" in parts:
            whole(folder, source, given.methods.split(","), given.rows, given.rounds)
        if "train" in parts:
            training(x_ND)
        if "encode" in parts:
            encoding(x_ND, given.rounds)


if __name__ == "__main__":
    sys.exit(main())
