"""How many rows of each file a training takes: filtered by length first, then cut or repeated to its target.

Target of file i: int(rows_per_file * splits[i]); without splits rows_per_file; without that the whole file. More rows
than that: a random subset. Fewer: whole copies and a random remainder, so that no row comes twice more than another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irctl.data import draws
from irctl.errors import ConfigError, DataError


@dataclass(frozen=True)
class Share:
    """Of one file: rows read, dropped as too short or too long, and which of the others are taken, in order of draw."""

    dataset: str
    rows: int
    too_short: int
    too_long: int
    held_out: int
    taken_N: NDArray[np.int64]

    @property
    def kept(self) -> int:
        return self.rows - self.too_short - self.too_long - self.held_out

    def line(self) -> str:
        """For the user."""
        dropped = [
            f"{n} {why}"
            for n, why in ((self.too_short, "too short"), (self.too_long, "too long"), (self.held_out, "held out"))
            if n
        ]
        said = f", {', '.join(dropped)}" if dropped else ""
        return f"{self.dataset}: {self.rows} rows{said}, {self.kept} kept, {len(self.taken_N)} taken"


def targets(files: int, rows_per_file: int, splits: Sequence[float]) -> list[int | None]:
    """Rows wanted of each file; None: all it has. rows_per_file 0 and no splits: not given. Raises ConfigError."""
    if splits and not rows_per_file:
        raise ConfigError("acerag.data_splits: shares of acerag.rows_per_file, which is not set")
    if splits and len(splits) != files:
        raise ConfigError(f"acerag.data_splits: expected one for each of {files} files, found {len(splits)}")
    if any(not s > 0 for s in splits):
        raise ConfigError(f"acerag.data_splits: expected numbers above 0, found {min(splits):g}")
    if not rows_per_file:
        return [None] * files
    return [int(rows_per_file * s) for s in (splits or [1.0] * files)]


def take(
    dataset: str,
    lengths_N: NDArray[np.int64],
    target: int | None,
    *,
    min_tokens: int | None,
    max_tokens: int | None,
    seed: int,
    is_left_out_N: NDArray[np.bool_] | None = None,
) -> Share:
    """Rows of a file by their lengths in tokens, both limits excluded. is_left_out_N: rows that are held out, which
    fit by length. Raises DataError where none is left of some.
    """
    is_short_N, is_long_N = out_of_limits(lengths_N, min_tokens, max_tokens)
    is_kept_N = ~is_short_N & ~is_long_N
    held_out = 0
    if is_left_out_N is not None:
        held_out = int((is_kept_N & is_left_out_N).sum())
        is_kept_N &= ~is_left_out_N
    kept_N = np.flatnonzero(is_kept_N)
    if not len(kept_N) and target != 0:
        if held_out:
            raise DataError(
                f"{dataset}: all {held_out} rows of the right length share a context, and are held out",
                hint="Lower acerag.held_out, or leave the file out",
            )
        limits = [f"{word} than {n}" for word, n in (("more", min_tokens), ("fewer", max_tokens)) if n is not None]
        raise DataError(
            f"{dataset}: none of {len(lengths_N)} rows has {' and '.join(limits)} tokens",
            hint="Lower acerag.min_tokens, or leave the file out",
        )
    wanted = len(kept_N) if target is None else target
    copies, rest = divmod(wanted, max(len(kept_N), 1))
    drawn = np.sort(draws.order(len(kept_N), "mixture", seed, dataset)[:rest])
    taken_N = np.concatenate([*([kept_N] * copies), kept_N[drawn]]).astype(np.int64)
    return Share(dataset, len(lengths_N), int(is_short_N.sum()), int(is_long_N.sum()), held_out, taken_N)


def out_of_limits(
    lengths_N: NDArray[np.int64], min_tokens: int | None, max_tokens: int | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(rows of min_tokens or fewer, rows of max_tokens or more)."""
    none_N = np.zeros(len(lengths_N), bool)
    is_short_N = lengths_N <= min_tokens if min_tokens is not None else none_N
    return is_short_N, lengths_N >= max_tokens if max_tokens is not None else none_N
