"""Vectors as a transform makes them, while they are read: what lies on disk stays as it was encoded.

Dimension key: N rows, D dimensions, E dimensions after the transform.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.data.files.made_once import key_of
from irctl.data.vectors.parts import Place
from irctl.hashing import marked
from irctl.models.transforms.files import FittedTransform
from irctl.types import Stream, VectorBlock


class TransformedStream:
    """The document side of a transform over a types.Stream. raw: that stream. dim: E.

    fingerprint: of the raw rows and of what the transform was fitted on.
    """

    def __init__(self, raw: Stream, fitted: FittedTransform) -> None:
        self.raw, self.fitted = raw, fitted
        self.rows, self.dim = raw.rows, fitted.transform.out_dim
        key = key_of({"of": raw.fingerprint, "transform": fitted.key})
        self.fingerprint = marked(key, [raw.fingerprint])

    def __getattr__(self, name: str) -> Any:
        """What else the raw stream has: files, ids, row groups, hashes of its files."""
        if name in ("raw", "fitted"):  # asked for before they are there: while it is copied
            raise AttributeError(name)
        if name == "take_into" and hasattr(self.raw, name):
            return self._take_into
        return getattr(self.raw, name)

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[VectorBlock]:
        for block in self.raw.blocks(size, start, stop):
            yield VectorBlock(block.start, block.ids, self.fitted.transform.documents(block.vectors_ND))

    def take(self, rows_N: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors [N, E] at these rows, in the order asked."""
        return self.fitted.transform.documents(self.raw.take(rows_N))

    def _take_into(self, rows_N: NDArray[np.int64], out: Place) -> None:
        """As the raw stream's own, each piece transformed as it comes."""
        self.raw.take_into(rows_N, _Transformed(out, self.fitted))  # type: ignore[attr-defined]


class _Transformed:
    """A place that takes raw rows."""

    def __init__(self, out: Place, fitted: FittedTransform) -> None:
        self._out, self._fitted = out, fitted

    def __setitem__(self, at_n: Any, rows_nD: NDArray[np.floating]) -> None:
        self._out[at_n] = self._fitted.transform.documents(np.asarray(rows_nD, np.float32))
