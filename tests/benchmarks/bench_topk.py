"""Merging blocks of scores against a heap over single documents: `python tests/benchmarks/bench_topk.py`.

Both see the same blocks of scores (cached vectors, scores computed outside the clock), many of them tied. The heap is
Python's heapq, one push a document that can enter, as in SyCL's library before its block merge. Ids of both are
compared with a sort of all scores; irctl's also for other block sizes and for shards merged afterwards.

Dimension key: Q queries, N documents, D width, k results.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.index.topk import TopK, merge

Ids = NDArray[np.int64]


def scores_of(queries_QD: NDArray[np.float32], block_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Similarities rounded to 1/64, so that the order among equal scores matters."""
    return np.round((queries_QD @ block_ND.T) * 64) / np.float32(64)


def by_heap(queries_QD: NDArray[np.float32], vectors_ND: NDArray[np.float32], k: int, block: int) -> tuple[Ids, float]:
    """(ids, seconds) of a heap for each query; (score, -row) orders ties by row."""
    heaps: list[list[tuple[float, int]]] = [[] for _ in queries_QD]
    spent = 0.0
    for start in range(0, len(vectors_ND), block):
        scores_QN = scores_of(queries_QD, vectors_ND[start : start + block])
        began = time.perf_counter()
        for heap, row in zip(heaps, scores_QN.tolist(), strict=True):
            for column, score in enumerate(row):
                if len(heap) < k:
                    heapq.heappush(heap, (score, -start - column))
                elif score > heap[0][0]:  # a later row of an equal score never enters
                    heapq.heapreplace(heap, (score, -start - column))
        spent += time.perf_counter() - began
    began = time.perf_counter()
    ids_Qk = np.array([[-r for _, r in sorted(heap, reverse=True)] for heap in heaps], dtype=np.int64)
    return ids_Qk, spent + time.perf_counter() - began


def by_blocks(
    queries_QD: NDArray[np.float32], vectors_ND: NDArray[np.float32], k: int, block: int
) -> tuple[Ids, float]:
    """(ids, seconds) of irctl's merge; 512 queries at once, as its scan does."""
    tops = [TopK(len(part), k) for part in parts(queries_QD)]
    spent = 0.0
    for start in range(0, len(vectors_ND), block):
        for part, top in zip(parts(queries_QD), tops, strict=True):
            scores_QN = scores_of(part, vectors_ND[start : start + block])
            began = time.perf_counter()
            top.push_block(scores_QN, start)
            spent += time.perf_counter() - began
    began = time.perf_counter()
    ids_Qk = np.concatenate([top.result()[1] for top in tops])
    return ids_Qk, spent + time.perf_counter() - began


def parts(queries_QD: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [queries_QD[i : i + 512] for i in range(0, len(queries_QD), 512)]


def by_shards(queries_QD: NDArray[np.float32], vectors_ND: NDArray[np.float32], k: int, shards: int) -> Ids:
    """Ids of `shards` scans whose results are merged: what several processes do."""
    edges = np.linspace(0, len(vectors_ND), shards + 1).astype(int)
    found = []
    for first, last in itertools.pairwise(edges):
        top = TopK(len(queries_QD), k)
        top.push_block(scores_of(queries_QD, vectors_ND[first:last]), int(first))
        found.append(top.result())
    return merge(found, k)[1]


def brute_force(queries_QD: NDArray[np.float32], vectors_ND: NDArray[np.float32], k: int) -> Ids:
    """Ids by a stable sort of every score."""
    return np.argsort(-scores_of(queries_QD, vectors_ND), axis=1, kind="stable")[:, :k]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=6000)
    parser.add_argument("--documents", type=int, default=16384)
    parser.add_argument("--width", type=int, default=64, help="scores are computed outside the clock")
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--block", type=int, default=8192)
    parser.add_argument("--heap-queries", type=int, default=600, help="the heap is timed on so many, and scaled")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    queries_QD = rng.standard_normal((given.queries, given.width), dtype=np.float32)
    vectors_ND = rng.standard_normal((given.documents, given.width), dtype=np.float32)
    ids_Qk, merged_s = by_blocks(queries_QD, vectors_ND, given.k, given.block)
    few_QD = queries_QD[: given.heap_queries]
    heap_ids, heap_s = by_heap(few_QD, vectors_ND, given.k, given.block)
    exact = brute_force(few_QD, vectors_ND, given.k)
    heap_s *= given.queries / len(few_QD)
    smaller = by_blocks(few_QD, vectors_ND, given.k, 1000)[0]
    report: dict[str, Any] = {
        "schema": "irctl/bench-topk/1",
        "queries": given.queries,
        "documents": given.documents,
        "k": given.k,
        "block": given.block,
        "heap_s": round(heap_s, 2),
        "heap_timed_on_queries": len(few_QD),
        "merge_s": round(merged_s, 3),
        "times_faster": round(heap_s / merged_s, 1),
        "ids_equal_brute_force": {
            "merge": bool((ids_Qk[: len(few_QD)] == exact).all()),
            "heap": bool((heap_ids == exact).all()),
            "merge, blocks of 1000": bool((smaller == exact).all()),
            "4 shards merged": bool((by_shards(few_QD, vectors_ND, given.k, 4) == exact).all()),
        },
    }
    print(json.dumps(report, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
