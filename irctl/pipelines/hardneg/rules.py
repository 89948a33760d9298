"""Choosing hard negatives among one query's ranked documents: rank window, score bounds, margins, top or random.

Dimension key: R ranked documents of a query, best first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irctl.errors import ConfigError

if TYPE_CHECKING:
    from irctl.settings import HardNeg


DEFAULT_RANGE = "0:200"  # that of the schema; a smaller depth cuts it


@dataclass(frozen=True)
class MiningRules:
    """What makes a ranked document a negative. first, last: rank window, 0-based, last excluded, unjudged only.

    num: at most so many; the whole window where the setting is 0.
    """

    num: int
    first: int
    last: int
    pick: str
    min_score: float | None
    max_score: float | None
    abs_margin: float | None
    rel_margin: float | None

    @property
    def need_positive(self) -> bool:
        return self.abs_margin is not None or self.rel_margin is not None


def read_rules(settings: HardNeg) -> MiningRules:
    """Rules from settings. Raises ConfigError where the rank window cannot be."""
    first, colon, last = settings.range.partition(":")
    try:
        window = (int(first), int(last)) if colon else (0, int(first))
    except ValueError:
        window = (0, 0)
    if not 0 <= window[0] < window[1]:
        raise ConfigError(
            f"hardneg.range: expected FIRST:LAST with FIRST < LAST, found '{settings.range}'", hint="Write 0:200"
        )
    if window[0] >= settings.depth:
        raise ConfigError(
            f"hardneg.range: starts at rank {window[0]}, but only {settings.depth} documents are searched",
            hint=f"Set --depth to at least {window[1]}",
        )
    if window[1] > settings.depth and settings.range != DEFAULT_RANGE:
        raise ConfigError(
            f"hardneg.range={settings.range}: ends beyond the {settings.depth} documents that are searched",
            hint=f"Set --depth to at least {window[1]}",
        )
    low, high = settings.min_score, settings.max_score
    if low is not None and high is not None and low > high:
        raise ConfigError(
            f"hardneg.min_score={low:g} is above hardneg.max_score={high:g}: no document can be both", hint="Swap them"
        )
    if settings.rel_margin is not None and settings.rel_margin < 0:
        raise ConfigError(f"hardneg.rel_margin: expected 0 or more, found {settings.rel_margin}")
    last_rank = min(window[1], settings.depth)
    return MiningRules(
        settings.num or last_rank - window[0],
        window[0],
        last_rank,
        settings.pick,
        settings.min_score,
        settings.max_score,
        settings.abs_margin,
        settings.rel_margin,
    )


def score_ceiling(positive: float, rules: MiningRules) -> float:
    """The highest score a negative may have beside a positive's score.

    The relative margin is |s| * margin below s, so that it lowers the ceiling for negative scores too.
    """
    limits = [float("inf") if rules.max_score is None else rules.max_score]
    if rules.abs_margin is not None:
        limits.append(positive - rules.abs_margin)
    if rules.rel_margin is not None:
        limits.append(positive - abs(positive) * rules.rel_margin)
    return min(limits)


def select(
    ranked: Sequence[tuple[str, float]],
    excluded: frozenset[str] | set[str],
    positive: float | None,
    rules: MiningRules,
    *,
    seed: int,
    query_id: str,
) -> list[tuple[str, float]]:
    """The negatives of one query, as (document id, score), best first.

    ranked [R]: documents with scores, best first. excluded: judged documents and, where the collection says so, the
    query itself. positive: score of the best-scoring positive; None only where no margin is asked for.
    Random choices depend on (seed, query id) alone, so they do not change with the order of queries.
    """
    free = [(d, s) for d, s in ranked if d not in excluded][rules.first : rules.last]
    top = score_ceiling(positive if positive is not None else float("inf"), rules)
    low = float("-inf") if rules.min_score is None else rules.min_score
    kept = [(d, s) for d, s in free if low <= s <= top]
    if rules.pick == "random" and len(kept) > rules.num:
        import numpy as np

        seed_bytes = hashlib.sha256(f"{seed}\0{query_id}".encode()).digest()
        draw = np.random.Generator(np.random.Philox(key=int.from_bytes(seed_bytes[:16], "little")))
        rows = sorted(draw.choice(len(kept), size=rules.num, replace=False))
        return [kept[int(i)] for i in rows]
    return kept[: rules.num]
