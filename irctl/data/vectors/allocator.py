"""The C library's allocator: freed memory is kept for the next batch instead of going back to the kernel."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

# mallopt parameters of glibc's malloc.h: largest block that is not mapped on its own, and what is kept when freed
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST_BLOCK, GROW_BY, KEPT = 32 << 20, 64 << 20, 512 << 20


@cache
def keep_freed_memory() -> None:
    """Let this process keep freed buffers (up to KEPT) for the next user, where the C library is glibc.

    glibc gives large ones back to the kernel, and whoever needs the next faults its pages in anew. Measured: a quarter
    more CPU time for encoding 12,000 tokens, a third more for reading parquet.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for parameter, value in ((M_MMAP_THRESHOLD, LARGEST_BLOCK), (M_TRIM_THRESHOLD, KEPT), (M_TOP_PAD, GROW_BY)):
            mallopt(parameter, value)
