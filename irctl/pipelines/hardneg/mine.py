"""From ranked candidates to a file of negatives, by the rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.pipelines.hardneg.left_out import LeftOut
from irctl.pipelines.hardneg.rankers import Ranked, Ranker
from irctl.pipelines.hardneg.rules import Rules, rules, select
from irctl.types import Qrels, Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection, Queries


RELEVANT = 1
"""Grade from which a judged document is a positive of its query."""


@dataclass
class Counts:
    """What mining did, by query. short: fewer negatives than asked."""

    queries: int = 0
    negatives: int = 0
    no_positive: int = 0
    short: int = 0
    empty: int = 0


def mine(
    queries: Queries, qrels: Qrels, ranker: Ranker, config: Config, advance: Callable[[int], Any], left_out: LeftOut
) -> tuple[dict[str, Ranked], Counts]:
    """Negatives of every query that has a positive, in query order, and the counts."""
    chosen = rules(config.hardneg)
    mined: dict[str, Ranked] = {}
    counts = Counts()
    for row, query_id in enumerate(queries.ids):
        advance(1)
        judged = qrels.get(query_id, {})
        positives = [d for d, grade in judged.items() if grade >= RELEVANT]
        if not positives:
            counts.no_positive += 1
            continue
        excluded = left_out.of(row)
        # They may fill the top: search as many more.
        ranked = ranker.ranked(row, config.hardneg.depth + len(excluded))
        best = _best_positive(row, positives, ranked, ranker, chosen)
        if chosen.need_positive and best is None:
            counts.no_positive += 1
            continue
        found = select(left_out.distinct(ranked), excluded, best, chosen, seed=config.run.seed, query_id=query_id)
        mined[query_id] = found
        counts.queries += 1
        counts.negatives += len(found)
        counts.short += 0 < len(found) < chosen.num
        counts.empty += not found
    return mined, counts


def _best_positive(row: int, positives: list[str], ranked: Ranked, ranker: Ranker, chosen: Rules) -> float | None:
    if not chosen.need_positive:
        return None
    if ranker.score is not None:
        return max(ranker.score(row, positives))
    wanted = set(positives)
    return max((s for d, s in ranked if d in wanted), default=None)


def write_negatives(
    config: Config,
    collection: Collection,
    split: str,
    queries: Queries,
    qrels: Qrels,
    ranker: Ranker,
    left_out: LeftOut,
    target: Path,
    reporter: Reporter,
) -> Counts:
    from irctl.data.judgements.negatives import write_negatives

    with reporter.bar("mining", len(queries.ids)) as advance:
        mined, counts = mine(queries, qrels, ranker, config, advance, left_out)
    provenance = {
        **ranker.provenance,
        "collection": collection.name,
        "collection_fingerprint": collection.fingerprint,
        "split": split,
        "qrels_sha256": collection.qrels_sha256(split),
        "settings": asdict(config.hardneg),
        "seed": config.run.seed,
        "counts": asdict(counts),
    }
    write_negatives(target, mined, provenance)
    if counts.queries and counts.empty == counts.queries:
        reporter.warn(f"none of the {counts.queries} queries has a negative left: look at the bounds and margins")
    return counts
