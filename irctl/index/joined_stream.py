"""Streams one after the other, as one: the vectors of a bundle and of what was appended to it.

Dimension key: N rows, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from irctl.types import Stream, VectorBlock


class JoinedStream:
    """A types.Stream over streams of one width, at least one."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams
        self._starts = np.cumsum([0] + [s.rows for s in streams])
        self.rows, self.dim = int(self._starts[-1]), streams[0].dim
        self.fingerprint = "+".join(s.fingerprint for s in streams)

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[VectorBlock]:
        """Rows start .. stop; a block lies in one stream. Ids are not told: they may be row numbers of one of them."""
        stop = self.rows if stop is None else min(stop, self.rows)
        for stream, first in zip(self._streams, self._starts.tolist(), strict=False):
            low, high = max(start - first, 0), min(stop - first, stream.rows)
            if low < high:
                for block in stream.blocks(size, low, high):
                    yield VectorBlock(first + block.start, None, block.vectors_ND)

    def take(self, rows_N: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors [N, D] at these rows, in the order asked."""
        out_ND = np.empty((len(rows_N), self.dim), np.float32)
        number_N = np.searchsorted(self._starts, rows_N, side="right") - 1
        for number in np.unique(number_N):
            mine = number_N == number
            out_ND[mine] = self._streams[int(number)].take(rows_N[mine] - self._starts[number])
        return out_ND
