"""Recall of codes at equal measured bytes: on the built-in collection's vectors and on synthetic sets.

    python tests/benchmarks/bench_compress_quality.py [--base 100000] [--decays 0.5,0.2] [--only saq,rabitq]

Queries are held out: Cranfield's own queries against its abstracts, or rows apart from base and training rows.
Two measures: R@10, how many of the exact ten nearest are among the ten found; R10@100, among the hundred found.

Dimension key: N base rows, Q queries, D dimensions, T training rows.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from showing import label, show

from irctl.config import from_sets, resolve
from irctl.data.vectors.open import open_vectors
from irctl.index.scoring import score_rows
from irctl.index.topk import TopK
from irctl.metrics.vectors.distortion import relative_mse
from irctl.metrics.vectors.neighbour_recall import recall_at
from irctl.quantizers.shared import opening

QUERIES, TRAIN, BLOCK = 200, 100_000, 20_000
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("pq", {"m": 16}),
    ("pq", {"m": 128, "bits": 4}),
    ("saq", {"bits": 0.5}),
    ("rabitq", {"bits": 1, "rotation": "none"}),
    ("rabitq", {"bits": 1}),
    ("saq", {"bits": 1.0}),
    ("rabitq", {"bits": 2}),
    ("saq", {"bits": 2.0}),
    ("sq", {"bits": 4}),
    ("rabitq", {"bits": 4}),
    ("saq", {"bits": 4.0}),
    ("sq", {"bits": 8}),
    ("rabitq", {"bits": 8}),
    ("saq", {"bits": 8.0}),
]


def measure(title: str, train_TD: Any, base_ND: Any, queries_QD: Any, only: list[str]) -> None:
    """One table."""
    exact = TopK(len(queries_QD), 100)
    for start in range(0, len(base_ND), BLOCK):
        exact.push_block(score_rows(queries_QD, base_ND[start : start + BLOCK], "ip"), start)
    exact_Qk = exact.result()[1]
    spectrum_D = np.linalg.eigvalsh(np.cov(base_ND[:20_000].T))[::-1]
    held = spectrum_D[: len(spectrum_D) // 10].sum() / spectrum_D.sum()
    show(
        f"\n{title}: {len(base_ND)} rows x {base_ND.shape[1]}, {len(queries_QD)} queries, {len(train_TD)} for training"
        f"; a tenth of the principal axes holds {held:.0%} of the variance"
    )
    show(
        f"{'method':26} {'bytes':>6} {'train s':>8} {'K rows/CPU-s':>13} {'q/CPU-s':>8}"
        f" {'R@10':>6} {'R10@100':>8} {'MSE':>7}"
    )
    for name, settings in METHODS:
        if only and name not in only:
            continue
        try:
            quantizer = opening.make(name, settings, base_ND.shape[1])
            t0 = time.process_time()
            quantizer.fit(train_TD)
        except Exception as e:  # noqa: BLE001  a method that this set is too small or narrow for
            show(f"{label(name, settings):26} {e}")
            continue
        t1 = time.process_time()
        codes_NC = quantizer.encode(base_ND)
        t2 = time.process_time()
        found_Qk = quantizer.search(queries_QD, codes_NC, 100)[1]
        t3 = time.process_time()
        deep = np.mean([len(set(e[:10]) & set(f)) / 10 for e, f in zip(exact_Qk, found_Qk, strict=True)])
        error = relative_mse(base_ND[:BLOCK], quantizer.decode(codes_NC[:BLOCK]))
        show(
            f"{label(name, settings):26} {codes_NC.shape[1]:6} {t1 - t0:8.1f} {len(base_ND) / (t2 - t1) / 1000:13.1f} "
            f"{len(queries_QD) / (t3 - t2):8.0f} {recall_at(found_Qk, exact_Qk, 10):6.3f} {deep:8.3f} {error:7.4f}"
        )


def cranfield(only: list[str]) -> None:
    """Vectors of the built-in collection by the default encoder: all queries, also those without judgements."""
    from irctl.data.collections.open import open_collection
    from irctl.models.embed import embed_corpus
    from irctl.models.encoder import load_encoder
    from irctl.types import Silent

    config = resolve(from_sets([]))
    collection, encoder = open_collection("cranfield"), load_encoder(config)
    base_ND = embed_corpus(encoder, collection.corpus, config.encoder, Silent()).array()
    base_ND = np.asarray(base_ND, np.float32)
    queries_QD = encoder.encode(collection.all_queries().texts, "query")
    measure("built-in collection, all-MiniLM-L6-v2", base_ND, base_ND, queries_QD, only)


def synthetic(base: int, dim: int, decay: float, only: list[str]) -> None:
    """500 clusters, spectrum i^-decay, rotated, unit norm."""
    stream = open_vectors(f"synthetic:{QUERIES + base + TRAIN},{dim},{decay}")
    x = stream.take(np.arange(stream.rows))
    measure(f"synthetic, spectrum i^-{decay}", x[QUERIES + base :], x[QUERIES : QUERIES + base], x[:QUERIES], only)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--decays", default="0.5,0.2", help="of synthetic sets; empty: none")
    parser.add_argument("--only", default="", help="methods, such as saq,rabitq")
    given = parser.parse_args()
    only = [n for n in given.only.split(",") if n]
    cranfield(only)
    for decay in filter(None, given.decays.split(",")):
        synthetic(given.base, given.dim, float(decay), only)


if __name__ == "__main__":
    main()
