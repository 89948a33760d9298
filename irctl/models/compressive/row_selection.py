"""Which rows of an encoded chunk are kept as its compressed context: pure functions of lengths, no model.

A chunk is `[BOS] instruction | slice of the context`: its first p rows are the prefix, the other m = n - p the content.
The grid `content`, the rule of irctl, keeps exactly ceil(m / ratio) rows, all of them content. The grid `released` is
that of the published encoders, with its faults: it starts after the instruction but not after a BOS, may name the last
row twice or miss it, and at ratio 1 drops a row.

Dimension key: S content rows, R kept rows.
Source: AceRAG and FlexRAG (arXiv 2409.15699), whose released code defines the second grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irctl.errors import ConfigError

SELECTIONS = ("stride", "random", "terminal", "mean")
"""Ways to keep rows without a look at them; `mean` keeps means of consecutive rows."""
GRIDS = ("content", "released")
IMPORTANT = 0.0625
"""Share of a context's tokens that adaptive selection keeps for their scores."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Lengths of an encoded chunk in tokens: all of it, its prefix, and of that its instruction."""

    length: int
    prefix: int = 0
    instruction: int = 0

    def __post_init__(self) -> None:
        assert 0 <= self.instruction <= self.prefix < self.length, f"{self}: no content"


def count_rows(content: int, ratio: int) -> int:
    """How many rows stand for so many content rows: ceil(content / ratio)."""
    return -(-content // ratio)


def select(
    chunk: Chunk, ratio: int, selection: str, *, grid: str = "content", generator: np.random.Generator | None = None
) -> Rows:
    """Numbers of the kept rows [R], ascending; in the released grid the last may come twice.

    selection: stride, random or terminal. generator: draws for `random`. Raises ConfigError for other words, and for
    terminal in the released grid, which had none.
    """
    check(selection, grid, ratio)
    first, last = chunk.prefix, chunk.length - 1
    if grid == "released":
        first = chunk.instruction
    kept = count_rows(chunk.length - first, ratio)
    if selection == "random":
        assert generator is not None, "random rows are drawn by a generator"
        return np.sort(generator.choice(np.arange(first, chunk.length), size=kept, replace=False)).astype(np.int64)
    if selection == "terminal":
        return np.arange(chunk.length - kept, chunk.length)
    strided = np.arange(first + ratio - 1, chunk.length, ratio)
    if grid == "content":
        return strided if len(strided) and strided[-1] == last else np.append(strided, last)
    if chunk.length % ratio:
        strided = np.append(strided, last)
    return strided[1:] if ratio == 1 else strided


def group_rows(chunk: Chunk, ratio: int) -> NDArray[np.int64]:
    """Where each run of `ratio` consecutive content rows begins and ends (excluded) [R, 2]; the last may be shorter."""
    starts = np.arange(chunk.prefix, chunk.length, ratio)
    return np.stack([starts, np.minimum(starts + ratio, chunk.length)], axis=1)


def select_adaptive(scores_S: NDArray[np.floating], ratio: int, *, important: float = IMPORTANT) -> Rows:
    """ceil(S / ratio) rows in text order: those of the highest scores, and others evenly between.

    scores_S: of the content's tokens, higher for what must not be lost; of equal ones the earlier counts more.
    important: share of S kept for their scores, at most what the ratio leaves room for. Without scores that differ, or
    without room, the rows are those of the stride.
    """
    size = len(scores_S)
    budget = count_rows(size, ratio)
    best = min(int(important * size), budget)
    is_kept_S = np.zeros(size, dtype=bool)
    is_kept_S[np.argsort(-scores_S, kind="stable")[:best]] = True
    if best == budget:  # no room beside them: nothing of the rest of the text would be left
        is_kept_S[:] = False
    others = np.flatnonzero(~is_kept_S)
    left = budget - int(is_kept_S.sum())
    # the end of each of `left` equal runs of the others, as a stride keeps the end of each of its runs
    ends = -(-np.arange(1, left + 1) * len(others) // max(left, 1)) - 1
    is_kept_S[others[ends]] = True
    return np.flatnonzero(is_kept_S)


def check(selection: str, grid: str, ratio: int) -> None:
    """Raise ConfigError for a selection, a grid or a ratio that there is not, and for two that do not go together."""
    if selection not in SELECTIONS:
        raise ConfigError(f"acerag.selection: expected {', '.join(SELECTIONS)}, found {selection}")
    if grid not in GRIDS:
        raise ConfigError(f"acerag.grid: expected {' or '.join(GRIDS)}, found {grid}")
    if ratio < 1 or ratio != math.floor(ratio):
        raise ConfigError(f"acerag.ratios: expected whole numbers of 1 or more, found {ratio}")
    if grid == "released" and selection not in ("stride", "random"):
        raise ConfigError(
            f"acerag.grid=released: the published encoders have stride and random, asked for is {selection}",
            hint="Use acerag.grid=content",
        )
