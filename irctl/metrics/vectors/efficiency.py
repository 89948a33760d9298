"""Bytes a row, ratios and rows a CPU second: what compression costs and saves, from measured sizes and times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def bytes_per_row(parts: Iterable[Mapping[str, Any]]) -> tuple[float, float]:
    """(codes, codes and ids) from the sizes of the files {rows, bytes[, ids_bytes]}, headers counted."""
    rows = codes = ids = 0
    for part in parts:
        rows += int(part["rows"])
        codes += int(part["bytes"])
        ids += int(part.get("ids_bytes", 0))
    return (codes / rows, (codes + ids) / rows) if rows else (0.0, 0.0)


def ratio(dim: int, bytes_a_row: float, width: int = 4) -> float:
    """How many times smaller than floats of `width` bytes."""
    return dim * width / bytes_a_row if bytes_a_row else 0.0


def rate(rows: int, cpu_s: float) -> float:
    """Rows a CPU second; 0 where no time was measured."""
    return rows / cpu_s if cpu_s > 0 else 0.0
