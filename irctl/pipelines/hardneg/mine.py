"""From ranked candidates to a file of negatives, by the rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import stopping
from irctl.data.judgements.negatives import write_negatives
from irctl.pipelines.hardneg.judged_split import MiningSplit
from irctl.pipelines.hardneg.rankers import Ranked, Ranker
from irctl.pipelines.hardneg.rules import MiningRules, read_rules, select
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.settings import HardNeg

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
    split: MiningSplit, ranker: Ranker, settings: HardNeg, seed: int, advance: Callable[[int], Any]
) -> tuple[dict[str, Ranked], Counts]:
    """Negatives of every query that has a positive, in query order, and the counts."""
    rules, left_out = read_rules(settings), split.left_out
    mined: dict[str, Ranked] = {}
    counts = Counts()
    for row, query_id in enumerate(split.queries.ids):
        advance(1)
        stopping.check(f"{ranker.kept} is kept" if ranker.kept else "nothing of the mining is kept")
        judged = split.qrels.get(query_id, {})
        positives = [d for d, grade in judged.items() if grade >= RELEVANT]
        if not positives:
            counts.no_positive += 1
            continue
        excluded = left_out.of(row)
        # They may fill the top: search as many more.
        ranked = ranker.ranked(row, settings.depth + len(excluded))
        best = _score_best_positive(row, positives, ranked, ranker, rules)
        if rules.need_positive and best is None:
            counts.no_positive += 1
            continue
        negatives = select(left_out.distinct(ranked), excluded, best, rules, seed=seed, query_id=query_id)
        mined[query_id] = negatives
        counts.queries += 1
        counts.negatives += len(negatives)
        counts.short += 0 < len(negatives) < rules.num
        counts.empty += not negatives
    return mined, counts


def _score_best_positive(
    row: int, positives: list[str], ranked: Ranked, ranker: Ranker, rules: MiningRules
) -> float | None:
    if not rules.need_positive:
        return None
    if ranker.score is not None:
        return max(ranker.score(row, positives))
    wanted = set(positives)
    return max((s for d, s in ranked if d in wanted), default=None)


def mine_to_file(
    split: MiningSplit, ranker: Ranker, settings: HardNeg, seed: int, target: Path, reporter: Reporter
) -> Counts:
    """Mine, and write the negatives with their provenance beside them."""
    collection = split.collection
    with reporter.bar("mining", len(split.queries)) as advance:
        mined, counts = mine(split, ranker, settings, seed, advance)
    provenance = {
        **ranker.provenance,
        "collection": collection.name,
        "collection_fingerprint": collection.fingerprint,
        "split": split.name,
        "qrels_sha256": collection.qrels_sha256(split.name),
        "settings": asdict(settings),
        "seed": seed,
        "counts": asdict(counts),
    }
    write_negatives(target, mined, provenance)
    if counts.queries and counts.empty == counts.queries:
        reporter.warn(f"none of the {counts.queries} queries has a negative left: look at the bounds and margins")
    elif short := counts.short + counts.empty:
        of_none = f", {counts.empty} of them none" if counts.empty else ""
        wanted = read_rules(settings).num
        reporter.warn(f"{short} of {counts.queries} queries have fewer than {wanted} negatives{of_none}")
    return counts
