"""The types that parts of irctl hand to each other. No torch, no numpy at run time.

Dimension key: B queries, K passages a query, N candidates or vectors, D vector width, C code bytes a vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Qrels = dict[str, dict[str, int]]
"""query id -> document id -> grade. Ids are always str."""

Run = dict[str, dict[str, float]]
"""query id -> document id -> score, higher is better."""


@dataclass(frozen=True)
class TrainGroup:
    """One training query with its passages. Graded labels; binary is the case {1, 0}."""

    query_id: str
    query: str
    passage_ids: tuple[str, ...]
    passages: tuple[str, ...]
    labels: tuple[float, ...]


@dataclass(frozen=True)
class VectorBlock:
    """Consecutive vectors of a stream.

    start: row of the first vector in the stream. ids: document ids, or None where ids are row numbers.
    vectors_ND: float32, C-contiguous.
    """

    start: int
    ids: Sequence[str] | None
    vectors_ND: NDArray[np.float32]


class Stream(Protocol):
    """Vectors that need not fit in memory: a file, a folder of shards, a remote data set."""

    rows: int
    dim: int
    fingerprint: str  # sha256 of the content, or of its identity where the content is too large to read

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[VectorBlock]: ...

    def take(self, rows_N: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors [N, D] at these rows, in the order asked."""
        ...


@runtime_checkable
class Quantizer(Protocol):
    """Turns vectors into short codes and scores queries against them. A trained one is frozen."""

    dim: int
    code_size: int  # bytes a vector, everything stored for a row counted

    def fit(self, x_ND: NDArray[np.float32]) -> None: ...
    def encode(self, x_ND: NDArray[np.float32]) -> NDArray[np.uint8]: ...
    def decode(self, codes_NC: NDArray[np.uint8]) -> NDArray[np.float32]: ...
    def scores(self, queries_QD: NDArray[np.float32], codes_NC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Estimated similarities [Q, N], higher is better."""
        ...

    def search(
        self, queries_QD: NDArray[np.float32], codes_NC: NDArray[np.uint8], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(scores [Q, k'], rows [Q, k']), k' = min(k, N): score descending, then row ascending."""
        ...

    def save(self, folder: Path) -> None:
        """Named .npy arrays and quantizer.json (written last). Never pickle."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Quantizer: ...


class Reporter(Protocol):
    """Where engine code says what it does. The console implements it; tests use `Silent`."""

    def say(self, line: str) -> None: ...
    def warn(self, line: str) -> None: ...
    def bar(
        self, label: str, total: int | None, done: int = 0, *, unit: str = ""
    ) -> AbstractContextManager[Advance]: ...


class Advance(Protocol):
    """note: what to show beside the count from here on, such as the loss."""

    def __call__(self, n: int = 1, *, note: str = "") -> Any: ...


class Silent:
    """A Reporter that keeps its lines to itself."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def warn(self, line: str) -> None:
        self.lines.append(line)

    def bar(self, label: str, total: int | None, done: int = 0, *, unit: str = "") -> AbstractContextManager[Advance]:
        from contextlib import nullcontext

        def advance(n: int = 1, *, note: str = "") -> None:
            pass

        return nullcontext(advance)
