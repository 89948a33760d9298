"""CPU seconds of `irctl train --recipe jpq-distill` on the built-in collection, its vectors encoded and compressed.

Bar: 15 CPU seconds of training at 24 bytes a vector. A report; nothing is asserted. On a busy machine
OMP_NUM_THREADS=1: threads that wait for a core are counted too.

    python tests/benchmarks/bench_distill.py [--model sentence-transformers/all-MiniLM-L6-v2] [--slices 48] [--bits 4]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench_search_memory import irctl
from showing import show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--slices", type=int, default=48)
    parser.add_argument("--bits", type=int, default=4)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encoded, _, encode_s = irctl(folder, "encode", "--model", args.model)
        sets = ("--set", f"opq.m={args.slices}", "--set", f"opq.bits={args.bits}")
        codes, _, compress_s = irctl(folder, "compress", "--method", "opq", "--data", str(encoded["folder"]), *sets)
        train = ("train", "--recipe", "jpq-distill", "--index", str(codes["run"]))
        _, peak, start_s = irctl(folder, *train, "--max-steps", "1")
        trained, peak, train_s = irctl(folder, *train)
    show(f"encode {encode_s:.1f} CPU s, compress by opq {compress_s:.1f} CPU s")
    show(f"one step of training, with starting, opening and saving: {start_s:.1f} CPU s")
    show(f"{trained['steps']} steps: {train_s:.1f} CPU s, of which after the first {train_s - start_s:.1f} (bar 15)")
    show(f"peak of its largest process: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
