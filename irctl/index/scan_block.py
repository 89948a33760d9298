"""How many rows a search looks at in one go: `search.block`, or chosen from k and the bytes of a code.

Where every score of a block is computed, more rows only take more memory. Where faiss searches, it computes tables and
fills its heaps of k anew each block: measured on 1,000,000 rows, k = 1000, blocks of 8,192 cost PQ16x8 5 times the CPU
of one block, and the approximate scan of PQ64x4 25 times.
"""

from __future__ import annotations

SCORED = 8192  # rows whose scores are all held: 16 MB for 512 queries
CODES = 32 << 20  # bytes of codes in a block; faiss holds a copy or two beside them
_MOST = 4 * CODES  # where k is so deep that the heaps would be a large part of the work
_DEEP = 64  # rows a result, below which they are


def choose(asked: int, k: int, code_size: int | None) -> int:
    """Rows a block, the same for every number of rows and processes. asked: 0 to choose.

    code_size: bytes a row of codes that faiss searches; None where every score is computed.
    """
    if asked:
        return asked
    if code_size is None:
        return SCORED
    return max(SCORED, min(max(CODES // code_size, _DEEP * k), _MOST // code_size))


def estimate_memory(block: int, dim: int, code_size: int | None) -> int:
    """Bytes a block takes: rows and their scores with 512 queries, or codes and what faiss copies of them."""
    return block * (dim * 4 + 4 * 512 if code_size is None else 3 * code_size)
