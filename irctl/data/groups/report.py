"""What training data holds, counted: by source and grade, what rules dropped, conflicts, sizes of groups.

Dimension key: T judgements of a source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl.data.groups.merged_sources import Merged
from irctl.data.groups.shares import measure_shares
from irctl.errors import counted

if TYPE_CHECKING:
    from irctl.data.groups.group_source import GroupSource

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
        "largest grade": source.largest_grade if source.threshold is None else source.parts[0].labels.largest,
        "positive from grade": source.threshold or source.positive_threshold,
        "groups": "one positive, and negatives" if source.is_binary else "of all grades",
        "a group": measure_shares(source).line(),
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
    reasons = ", ".join(f"{n} by {reason}" for reason, n in about["dropped"])
    parts = [
        f"{source.name} ({side}): {counted(about['queries'], 'query')}",
        f"{counted(read, 'judgement')} by score {_counts(about['read'])}",
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
    if len(every) == 2:
        positive, negative = every
        reasons.append((len(np.setdiff1d(negative, positive)), "have no positive"))
        reasons.append((len(np.setdiff1d(positive, negative)), "have no negative"))
        usable = len(np.intersect1d(positive, negative))
    elif source.threshold is not None:
        usable = len(every[0]) - int((_available(source, source.parts[0], every[0], of_positives=True) == 0).sum())
        reasons.append((len(every[0]) - usable, "have no positive"))
    else:
        usable = len(every[0])
    reasons.append((usable - len(source), "are beyond data.max_queries"))
    return ", ".join(f"{n} {reason}" for n, reason in reasons if n)


def _sizes(source: GroupSource) -> NDArray[np.int64]:
    """Passages of every group: at most one positive of a binary one, at most K."""
    rows = source.query_rows
    if source.threshold is not None:
        available = 1 + _available(source, source.parts[0], rows, of_positives=False)
    else:
        positives, *negatives = (_available(source, part, rows) for part in source.parts)
        available = np.minimum(positives, 1) + negatives[0] if negatives else positives
    size = source.settings.group_size
    return np.minimum(available, size) if size else available


def _histogram(source: GroupSource) -> str:
    """`K x queries` for groups as they are drawn, largest first; shared random draws make some smaller."""
    values, counts = np.unique(_sizes(source), return_counts=True)
    return ", ".join(f"{v} x {n}" for v, n in reversed(list(zip(values.tolist(), counts.tolist(), strict=True))))


def _available(
    source: GroupSource, part: Merged, rows: NDArray[np.int64], *, of_positives: bool | None = None
) -> NDArray[np.int64]:
    """Passages that each query of `rows` can draw from: a passage of two sources once, random_k applied.

    of_positives: those on this side of the threshold only; positives are drawn whatever random_k is.
    """
    available = np.zeros(len(rows), dtype=np.int64)
    whole = []
    kept = None
    if of_positives is not None and source.threshold is not None:
        keys_T, labels_T = part.settled()
        kept = keys_T[(labels_T >= source.threshold) == of_positives]
    for i, one in enumerate(part.sources):
        keys_T = part.pairs(i)[0]
        if kept is not None:
            keys_T = keys_T[np.isin(keys_T, kept)]
        if one.random_k and not of_positives:
            available += np.minimum(_per_query(source, keys_T, rows), one.random_k)
        else:
            whole.append(keys_T)
    if whole:
        available += _per_query(source, np.unique(np.concatenate(whole)), rows)
    return available


def _per_query(source: GroupSource, keys_T: NDArray[np.int64], rows_Q: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs of each of these queries; keys as Merged.pairs numbers them."""
    rows, counts = np.unique(keys_T // max(len(source.passages), 1), return_counts=True)
    place = np.minimum(np.searchsorted(rows, rows_Q), max(len(rows) - 1, 0))
    if not len(rows):
        return np.zeros(len(rows_Q), dtype=np.int64)
    return np.where(rows[place] == rows_Q, counts[place], 0)
