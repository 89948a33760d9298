"""Dense products whose bytes do not depend on batch size or number of threads.

The last bits of a float32 product depend on the shape of the block, on a row's place in it and on BLAS threads. So
every product here is made of blocks of exactly 500 rows, counted from the first row of the call, the last one padded
with zeros, one BLAS thread each; blocks run in parallel. Calls that start at multiples of 500 rows therefore agree.
Dimension key: N rows, B rows of a block (500), D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from irctl.index.threads import count_cpus

BLOCK = 500


@cache
def _find_blas() -> ThreadpoolController:
    # finding the loaded libraries takes milliseconds; limiting them does not
    return ThreadpoolController()


def run_blocks(x_ND: NDArray[np.float32], work: Callable[[NDArray[np.float32], slice], None]) -> None:
    """Call `work(block_BD, rows)` for each block of 500 rows; `rows` says which of x they are, the rest is padding."""

    def one(start: int) -> None:
        rows = slice(start, min(start + BLOCK, len(x_ND)))
        block_BD = x_ND[rows]
        if len(block_BD) < BLOCK:
            block_BD = np.zeros((BLOCK, x_ND.shape[1]), np.float32)
            block_BD[: rows.stop - start] = x_ND[rows]
        work(block_BD, rows)

    starts = range(0, len(x_ND), BLOCK)
    with _find_blas().limit(limits=1, user_api="blas"):
        if count_cpus() == 1 or len(starts) < 2:
            for start in starts:
                one(start)
        else:
            with ThreadPoolExecutor(min(count_cpus(), len(starts))) as pool:
                for done in [pool.submit(one, start) for start in starts]:
                    done.result()


def multiply(x_ND: NDArray[np.float32], matrix_DE: NDArray[np.float32]) -> NDArray[np.float32]:
    """x times a matrix, by blocks."""
    out_NE = np.empty((len(x_ND), matrix_DE.shape[1]), np.float32)

    def work(block_BD: NDArray[np.float32], rows: slice) -> None:
        out_NE[rows] = (block_BD @ matrix_DE)[: rows.stop - rows.start]

    run_blocks(x_ND, work)
    return out_NE
