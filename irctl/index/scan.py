"""Exhaustive search over float vectors or over codes, a block of rows at a time, in one total order.

Memory is a block of rows, a block of scores and the running best; codes and vectors stay on disk.
Dimension key: Q queries, N rows, D dimensions, k results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl import stopping
from irctl.index import scan_block
from irctl.index.arrays import as_rows
from irctl.index.bundle import Bundle
from irctl.index.scoring import score_rows
from irctl.index.topk import Rows, Scores, TopK
from irctl.types import Stream

QUERIES = 512  # queries scored at once: 16 MB of scores beside a block of 8192 rows
KEPT = "nothing of a search is kept"


@dataclass(frozen=True)
class ScanResult:
    """scores, rows [Q, k']; boundary_ties: queries whose cut fell between equal scores."""

    scores_Qk: Scores
    rows_Qk: Rows
    boundary_ties: int


def _ignore(rows: int) -> None:
    pass


def search_vectors(
    queries_QD: NDArray[np.float32],
    stream: Stream,
    k: int,
    metric: str,
    *,
    block: int = scan_block.SCORED,
    rows: tuple[int, int] | None = None,
    advance: Callable[[int], object] = _ignore,
) -> ScanResult:
    """The k best rows of a stream for each query. metric: ip, cosine or l2 (minus the squared distance).

    rows: (start, stop) of those to look at; default: all.
    """
    start, stop = rows or (0, stream.rows)
    queries_QD = as_rows(queries_QD, stream.dim, "queries")
    best = [TopK(len(part), min(k, stream.rows)) for part in _split_queries(queries_QD)]
    for vectors in stream.blocks(block, start, stop):
        for part, top in zip(_split_queries(queries_QD), best, strict=True):
            stopping.check(KEPT)  # here: of many queries a block takes minutes
            top.push_block(score_rows(part, vectors.vectors_ND, metric), vectors.start)
        advance(len(vectors.vectors_ND))
    return _gather(best, k)


def search_codes(
    queries_QD: NDArray[np.float32],
    bundle: Bundle,
    k: int,
    *,
    block: int = 0,
    rows: tuple[int, int] | None = None,
    advance: Callable[[int], object] = _ignore,
    fast: bool = False,
) -> ScanResult:
    """The k best rows of a bundle for each query, by its quantizer. rows: (start, stop) of those to look at.

    fast: by its approximate scan, `search_fast`; which rows that misses depends on the blocks.
    """
    find = bundle.quantizer.search_fast if fast else bundle.quantizer.search
    first, stop = rows or (0, bundle.rows)
    parts = list(_split_queries(as_rows(queries_QD, bundle.dim, "queries")))
    best = [TopK(len(part), min(k, bundle.rows)) for part in parts]
    scorers = [_make_scorer(bundle.quantizer, part) for part in parts]
    block = scan_block.choose(block, k, None if is_scored(bundle) else bundle.code_size)
    for start, codes_NC in bundle.blocks(block, first, stop):
        done = 0
        for number, (part, top, score) in enumerate(zip(parts, best, scorers, strict=True), 1):
            stopping.check(KEPT)
            if score:
                top.push_block(score(codes_NC), start)
            else:
                # one more than k, so that a tie at the cut is seen also where it lies inside one block
                with stopping.at_once(KEPT):  # a large block of long codes takes seconds
                    scores_Qk, rows_Qk = find(part, codes_NC, k + 1)
                top.push(scores_Qk, np.where(rows_Qk >= 0, rows_Qk + start, -1))
            now = len(codes_NC) * number // len(parts)  # a block can be large, so each part of the queries tells
            advance(now - done)
            done = now
    return _gather(best, k)


def is_scored(bundle: Bundle) -> bool:
    """Whether a search of these codes computes every score; else faiss searches them."""
    return _make_scorer(bundle.quantizer, np.empty((0, bundle.dim), np.float32)) is not None


def _make_scorer(quantizer: Any, queries_QD: NDArray[np.float32]) -> Callable[[NDArray[np.uint8]], Scores] | None:
    """What scores codes where a search is a sort of scores; None where faiss searches."""
    make = getattr(quantizer, "scorer", None)
    return make(queries_QD) if make else None


def share(rows: int, block: int, index: int, count: int) -> tuple[int, int]:
    """(start, stop) of the rows that process `index` of `count` scans: whole blocks, the same ones for every count."""
    blocks = -(-rows // block)
    return min(blocks * index // count * block, rows), min(blocks * (index + 1) // count * block, rows)


def join(parts: Sequence[tuple[Scores, Rows]], k: int) -> ScanResult:
    """One result from those of scans over disjoint rows. Each holds k + 1 a query, so that ties at the cut are seen."""
    queries = len(parts[0][0])
    best = []
    for start in range(0, queries, QUERIES):
        best.append(TopK(min(QUERIES, queries - start), k))
        for scores_Qc, rows_Qc in parts:
            best[-1].push(scores_Qc[start : start + QUERIES], rows_Qc[start : start + QUERIES])
    return _gather(best, k)


def _split_queries(queries_QD: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(queries_QD), QUERIES):
        yield queries_QD[start : start + QUERIES]


def _gather(best: list[TopK], k: int) -> ScanResult:
    results = [top.result() for top in best]
    if not results:
        return ScanResult(np.empty((0, 0), np.float32), np.empty((0, 0), np.int64), 0)
    return ScanResult(
        np.concatenate([s for s, _ in results]),
        np.concatenate([r for _, r in results]),
        sum(top.count_boundary_ties() for top in best),
    )
