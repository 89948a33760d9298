"""Peak memory of `irctl export --to faiss` over codes of about 300 MB, beside filling a faiss index and writing it.

Bar: codes of one block (32 MiB) + 300 MB above what a process has that has opened the bundle, whatever the codes' size.

    python tests/benchmarks/bench_export_memory.py [--megabytes 300] [--dim 768] [--methods sq,rabitq,IVF1024,SQ8]

Dimension key: N rows, D dimensions, C code bytes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from bench_search_memory import MIB, irctl
from showing import show

from irctl.files import write_atomic
from irctl.index import shards
from irctl.index.bundle import locate_quantizer, write_bundle
from irctl.quantizers.shared import opening

PLAIN = """
import sys, time
from pathlib import Path
import faiss
from irctl.index.bundle import open_bundle
from irctl.pipelines.references.bundles import load_quantizer
# not ru_maxrss, which a process inherits from the one that started it
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
bundle = open_bundle(Path(sys.argv[1]), load_quantizer)
index = bundle.quantizer.faiss_index()
started = peak()
inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
for _, codes in bundle.blocks(10_000):
    inner.add_sa_codes(codes)
index.ntotal = inner.ntotal
if hasattr(inner, "nprobe"):
    inner.nprobe = inner.nlist
faiss.write_index(index, sys.argv[2])
print(started, peak(), time.process_time())
"""


def make_bundle(folder: Path, method: str, dim: int, megabytes: int, parts: int) -> int:
    """A bundle of codes drawn at random, of which no one asks what they mean; how many bytes of codes."""
    x_ND = np.random.default_rng(0).standard_normal((40_000, dim), np.float32)
    name, keys = (method, {}) if method.islower() else ("faiss", {"factory": method})
    quantizer = opening.make(name, keys, dim)
    quantizer.fit(x_ND)
    own_NC = quantizer.encode(x_ND)
    trained = locate_quantizer(folder, name)
    quantizer.save(trained)
    rows, lines, rng = megabytes * 10**6 // quantizer.code_size // parts, [], np.random.default_rng(1)
    for number in range(parts):
        codes_NC = own_NC[rng.integers(0, len(own_NC), rows)]
        file, row0 = f"codes/part-{number:05d}.npy", number * rows
        written = write_atomic(folder / file, codes_NC)
        line = {"file": file, "rows": rows, "row0": row0, "bytes": written.bytes, "sha256": written.sha256}
        ids = [f"document-{i}" for i in range(row0, row0 + rows)]
        lines.append(line | shards.write_part_ids(folder, f"ids/part-{number:05d}.arrow", ids))
    write_bundle(
        folder, method=name, dim=dim, code_size=quantizer.code_size, metric="ip", parts=lines, quantizer=trained
    )
    return rows * parts * quantizer.code_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--methods", default="sq:1,sq:30,rabitq:1,IVF1024,SQ8:1", help="METHOD:FILES, ...")
    given = parser.parse_args()
    show(f"{'method':10} {'files':>5} {'codes':>6} {'start':>6} {'filled index':>12} {'export':>7} {'bar':>6}   CPU s")
    for method, parts in (
        word.rsplit(":", 1) for word in given.methods.replace(",", " ").replace(" SQ", ",SQ").split()
    ):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            size = make_bundle(folder / "b", method, given.dim, given.megabytes, int(parts)) / MIB
            command = [sys.executable, "-c", PLAIN, str(folder / "b"), str(folder / "plain.faiss")]
            environment = {**os.environ, "IRCTL_CACHE": str(folder / "cache")}
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            started, plain, plain_s = map(float, done.stdout.split())
            _, peak, cpu_s = irctl(folder, "export", str(folder / "b"), "--out", str(folder / "ours.faiss"))
            same = (folder / "plain.faiss").read_bytes() == (folder / "ours.faiss").read_bytes()
            bar = started + 32 + 300 * 10**6 / MIB
            show(
                f"{method:10} {parts:>5} {size:6.0f} {started:6.0f} {plain:12.0f} {peak:7.0f} {bar:6.0f}   "
                f"{plain_s:.1f} {cpu_s:.1f} {'same bytes' if same else 'OTHER BYTES'}"
            )


if __name__ == "__main__":
    main()
