"""What training data holds, counted: by source and grade, what rules dropped, conflicts, sizes of groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from irctl.data.merging import Merged

if TYPE_CHECKING:
    from irctl.data.groups import GroupSource

SIDES = {1: ("graded",), 2: ("positive", "negative")}


def describe(source: GroupSource) -> dict[str, Any]:
    """Counts for --dry-run and the run's log."""
    about: dict[str, Any] = {"sources": []}
    for side, part in zip(SIDES[len(source.parts)], source.parts, strict=True):
        about["sources"] += [_source_line(part, i, side) for i in range(len(part.sources))]
    conflicts = sum(part.conflicts() for part in source.parts)
    settings = source.settings
    about |= {
        "queries": len(source),
        "passages": len(source.passages),
        "conflicts": conflicts,
        "group sizes": _histogram(source),
        "largest grade": source.largest_grade,
        "positive from grade": source.positive_threshold,
        "negatives a query": max(settings.group_size - 1, 0)
        if source.is_binary and settings.group_size
        else "by grade",
    }
    if conflicts and settings.on_conflict == "last":
        about["advice"] = (
            f"{conflicts} pairs are judged differently by two sources: on_conflict max keeps the higher grade"
        )
    return about


def _source_line(part: Merged, i: int, side: str) -> str:
    source = part.sources[i]
    assert source.store is not None
    about = source.store.about
    read, kept = sum(about["read"].values()), sum(about["kept"].values())
    parts = [
        f"{source.name} ({side}): {about['queries']} queries",
        f"{read} judgements by score {_counts(about['read'])}",
        f"{kept} kept by label {_counts(about['kept'])}, {read - kept} dropped",
    ]
    if source.random_k:
        parts.append(f"{source.random_k} a query drawn each epoch")
    return "; ".join(parts) + f"; {', '.join(about['files'])}"


def _counts(counts: dict[str, int]) -> str:
    return "{" + ", ".join(f"{grade}: {n}" for grade, n in counts.items()) + "}"


def _histogram(source: GroupSource) -> dict[int, int]:
    """Passages available a query -> number of queries, K and more counted together; each source's draws applied."""
    available = np.zeros(len(source), dtype=np.int64)
    for part in source.parts:
        for i, one in enumerate(part.sources):
            keys, _ = part.pairs(i)
            counts = _per_query(source, keys // max(len(source.passages), 1))
            available += np.minimum(counts, one.random_k) if one.random_k else counts
    size = source.settings.group_size
    values, counts = np.unique(np.minimum(available, size) if size else available, return_counts=True)
    return {int(v): int(n) for v, n in zip(values, counts, strict=True)}


def _per_query(source: GroupSource, query_rows_T: Any) -> Any:
    rows, counts = np.unique(query_rows_T, return_counts=True)
    place = np.minimum(np.searchsorted(rows, source.query_rows), max(len(rows) - 1, 0))
    if not len(rows):
        return np.zeros(len(source), dtype=np.int64)
    return np.where(rows[place] == source.query_rows, counts[place], 0)
