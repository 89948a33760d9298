"""What is encoded of a shard before it is whole: one append-only file of model batches for each process that writes it.

A batch is a fixed budget of tokens, and which texts stand in it depends on the budget and the shard's texts alone; so a
shard joined from kept batches of one budget has the bytes of one encoded in one go. A record is a line of JSON (batch:
its rows, width, tokens, budget, sha256), then row numbers (int64) and vectors (float32). No fsync: a torn or damaged
record is seen by its hash, and its batch is encoded again.
Dimension key: B texts of a batch, D vector width.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from irctl.files import writing
from irctl.index.shards import JOURNAL


class Piece(NamedTuple):
    """The vectors [B, D] of one model batch, and its tokens."""

    vectors_BD: NDArray[np.float32]
    tokens: int


class Pieces:
    """The kept batches of one shard. Those of every process count; new ones go to a file of this one's own.

    planned, allowed: tokens of a batch, of the folder's plan and at most now. batch_tokens: of this shard's batches;
    the kept ones' where that is allowed. computed: tokens of the batches added.
    """

    def __init__(self, folder: Path, index: int, planned: int, allowed: int) -> None:
        self._folder, self._begin = folder / JOURNAL, f"pieces.{index:05d}."
        attempt = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
        self._path = self._folder / f"{self._begin}{attempt}.bin"
        budget, self._kept, _ = _choose(_read(self._folder, self._begin), allowed)
        self.batch_tokens = budget or min(planned, allowed)
        self.computed = 0

    def find(self, rows_B: NDArray[np.int64]) -> Piece | None:
        """The batch of exactly these rows of the shard, in this order, if it is kept."""
        return self._kept.get(rows_B.astype("<i8").tobytes())

    def add(self, rows_B: NDArray[np.int64], piece: Piece) -> None:
        """Keep a batch: it outlives a killed process from here on."""
        rows = rows_B.astype("<i8").tobytes()
        body = rows + np.ascontiguousarray(piece.vectors_BD, "<f4").tobytes()
        count, width = piece.vectors_BD.shape
        head: dict[str, Any] = {"batch": count, "width": width, "tokens": piece.tokens, "budget": self.batch_tokens}
        head["sha256"] = hashlib.sha256(body).hexdigest()
        self.computed += piece.tokens
        with writing(self._path):
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(json.dumps(head).encode() + b"\n" + body)

    def drop(self) -> None:
        """Remove them all, once the shard is whole."""
        for file in self._folder.glob(f"{self._begin}*"):
            with contextlib.suppress(OSError):  # another writer of the same shard may clean up too
                file.unlink(missing_ok=True)


def count(folder: Path, done: Container[int], allowed: int) -> tuple[int, int]:
    """(rows kept of shards that are not done, rows kept only in batches that are not taken). allowed: as in Pieces."""
    rows = others = 0
    for index in {int(file.name.split(".")[1]) for file in (folder / JOURNAL).glob("pieces.*.bin")}:
        if index not in done:
            _, kept, left = _choose(_read(folder / JOURNAL, f"pieces.{index:05d}."), allowed)
            rows += sum(len(piece.vectors_BD) for piece in kept.values())
            others += left
    return rows, others


def _choose(records: Iterable[tuple[int, bytes, Piece]], allowed: int) -> tuple[int, dict[bytes, Piece], int]:
    """(budget, its batches, rows in others alone): the budget with most rows of those allowed; 0 where there is none.

    Batches of two budgets overlap, so a shard is joined from those of one.
    """
    found: dict[int, dict[bytes, Piece]] = {}
    for budget, rows, piece in records:
        found.setdefault(budget, {})[rows] = piece
    row_sets = {b: set(np.frombuffer(b"".join(kept), "<i8").tolist()) for b, kept in found.items()}
    budget = max((b for b in found if b <= allowed), key=lambda b: (len(row_sets[b]), b), default=0)
    others = set().union(*row_sets.values()) - row_sets.get(budget, set())
    return budget, found.get(budget, {}), len(others)


def _read(folder: Path, begin: str) -> Iterator[tuple[int, bytes, Piece]]:
    """(budget, row numbers, batch) of each whole record; what follows a torn or damaged one in its file is left out."""
    for path in sorted(folder.glob(f"{begin}*")):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:  # its shard has become whole meanwhile
            while line := file.readline():
                try:
                    head = json.loads(line)
                    rows, width = int(head["batch"]), int(head["width"])
                    sha256, tokens, budget = head["sha256"], int(head["tokens"]), int(head["budget"])
                except (ValueError, KeyError, TypeError):
                    break
                body = file.read(rows * (8 + 4 * width)) if rows > 0 and width > 0 else b""
                if hashlib.sha256(body).hexdigest() != sha256:
                    break
                vectors = np.frombuffer(body, "<f4", offset=8 * rows).reshape(rows, width)
                yield budget, body[: 8 * rows], Piece(vectors, tokens)
