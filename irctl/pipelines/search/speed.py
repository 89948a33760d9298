"""How fast a search was: queries a second of the whole, and the time of one query alone.

Wall-clock time of this machine with whatever ran beside it: numbers of one run compare, those of two hardly do.
Dimension key: Q queries, D dimensions, k results.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irctl.pipelines.search import exact_vectors

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.pipelines.search.opened_index import Searched


def measure_speed(
    searched: Searched, queries_QD: NDArray[np.float32], k: int, seconds: float, threads: int, config: Config
) -> dict[str, float]:
    """{queries_per_s, timed_queries, timed_threads, latency_ms, latency_p95_ms} of a search that took so many seconds.

    It was timed in one pass, of all queries at once, by so many threads of all its processes.
    Latencies are there where search.latency asks for some: the median and the 95th percentile over queries searched one
    at a time in this process.
    """
    speed = {"queries_per_s": len(queries_QD) / max(seconds, 1e-9)}
    speed |= {"timed_queries": float(len(queries_QD)), "timed_threads": float(threads)}
    times = [_time_one(searched, query_D[None], k, config) for query_D in queries_QD[: config.search.latency]]
    if times:
        middle, late = np.percentile(times, [50, 95])
        speed |= {"latency_ms": 1000 * float(middle), "latency_p95_ms": 1000 * float(late)}
    return speed


def _time_one(searched: Searched, query_1D: NDArray[np.float32], k: int, config: Config) -> float:
    started, search = time.perf_counter(), config.search
    depth = max(k, search.rerank)
    best = searched.search(query_1D, depth, searched.choose_block(depth, search.block), lambda rows: None)
    if search.rerank:
        exact_vectors.rescore(searched, query_1D, best.rows_Qk, k, config)
    return time.perf_counter() - started
