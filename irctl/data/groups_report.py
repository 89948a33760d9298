"""What training data holds, counted: by source and grade, what rules dropped, conflicts, sizes of groups.

Dimension key: T judgements of a source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
        **({"queries dropped": dropped} if (dropped := _queries_dropped(source)) else {}),
        "passages": len(source.passages),
        "conflicts": conflicts,
        "group sizes": _histogram(source),
        "largest grade": source.largest_grade,
        "positive from grade": source.positive_threshold,
    }
    if source.is_binary and settings.group_size:
        about["negatives a query"] = settings.group_size - 1
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
    reasons = ", ".join(f"{n} by {reason}" for reason, n in about["dropped"])
    parts = [
        f"{source.name} ({side}): {about['queries']} queries",
        f"{read} judgements by score {_counts(about['read'])}",
        f"{kept} kept by label {_counts(about['kept'])}, {read - kept} dropped" + (f" ({reasons})" if reasons else ""),
    ]
    if source.random_k:
        parts.append(f"{source.random_k} a query drawn each epoch")
    return "; ".join(parts) + f"; {', '.join(about['files'])}"


def _counts(counts: dict[str, int]) -> str:
    return "{" + ", ".join(f"{grade}: {n}" for grade, n in counts.items()) + "}"


def _queries_dropped(source: GroupSource) -> str:
    """Queries with judgements that make no group, by reason; empty where there are none."""
    reasons = []
    every = [part.query_rows() for part in source.parts]
    if source.is_binary:
        positive, negative = every
        reasons.append((len(np.setdiff1d(negative, positive)), "have no positive"))
        reasons.append((len(np.setdiff1d(positive, negative)), "have no negative"))
        usable = len(np.intersect1d(positive, negative))
    else:
        usable = len(every[0])
    reasons.append((usable - len(source), "are beyond data.max_queries"))
    return ", ".join(f"{n} {reason}" for n, reason in reasons if n)


def queries_with(source: GroupSource, grade: float) -> int:
    """Queries that have a passage of at least this grade."""
    part, passages = source.parts[0], max(len(source.passages), 1)
    found = [keys_T[labels_T >= grade] // passages for keys_T, labels_T in map(part.pairs, range(len(part.sources)))]
    return len(np.intersect1d(np.concatenate(found), source.query_rows))


def largest_group(source: GroupSource) -> int:
    """Passages of the largest group that can be drawn, repeats not counted."""
    sizes = _sizes(source)
    return int(sizes.max()) if len(sizes) else 0


def _sizes(source: GroupSource) -> NDArray[np.int64]:
    """Passages of every group: at most one positive of a binary one, at most K."""
    positives, *negatives = (_available(source, part) for part in source.parts)
    available = np.minimum(positives, 1) + negatives[0] if negatives else positives
    size = source.settings.group_size
    return np.minimum(available, size) if size else available


def _histogram(source: GroupSource) -> str:
    """`K x queries` for groups as they are drawn, largest first; shared random draws make some smaller."""
    values, counts = np.unique(_sizes(source), return_counts=True)
    return ", ".join(f"{v} x {n}" for v, n in reversed(list(zip(values.tolist(), counts.tolist(), strict=True))))


def _available(source: GroupSource, part: Merged) -> NDArray[np.int64]:
    """Passages that each query of `source` can draw from: a passage of two sources once, random_k applied."""
    available = np.zeros(len(source), dtype=np.int64)
    whole = []
    for i, one in enumerate(part.sources):
        keys_T = part.pairs(i)[0]
        if one.random_k:
            available += np.minimum(_per_query(source, keys_T), one.random_k)
        else:
            whole.append(keys_T)
    if whole:
        available += _per_query(source, np.unique(np.concatenate(whole)))
    return available


def _per_query(source: GroupSource, keys_T: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs of each query of `source`; keys as Merged.pairs numbers them."""
    rows, counts = np.unique(keys_T // max(len(source.passages), 1), return_counts=True)
    place = np.minimum(np.searchsorted(rows, source.query_rows), max(len(rows) - 1, 0))
    if not len(rows):
        return np.zeros(len(source), dtype=np.int64)
    return np.where(rows[place] == source.query_rows, counts[place], 0)
