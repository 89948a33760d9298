"""Results of `irctl eval` as RepCONC's metric.json, one a split, as its evaluation leaves them: SPLIT/metric.json.

{"ndcg": {"NDCG@1": ...}, "map", "recall", "precision", "mrr", "perquery": {query: {"ndcg_cut_1": ..., ...}}}:
means by BEIR's names, a query's values by pytrec_eval's, 5 decimals. Read in RepCONC 0.2.1, utils/eval_utils.py; what
differs: means are over all judged queries, and on TREC Deep Learning's passages a grade of 2 is relevant, not of 1
(`relevance_level` says which it was; nDCG takes all grades).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.data.collections.msmarco import TRACK_MEASURES
from irctl.index.shards import write_json

if TYPE_CHECKING:
    from irctl.data.collections.collection import Collection

FILE, FOLDER = "metric.json", "repconc"
CUTS, RR_CUTS = (1, 3, 5, 10, 100), (10, 100)
DECIMALS = 5
FAMILIES = {
    "nDCG": ("ndcg", "NDCG", "ndcg_cut"),
    "AP": ("map", "MAP", "map_cut"),
    "R": ("recall", "Recall", "recall"),
    "P": ("precision", "P", "P"),
    "RR": ("mrr", "MRR", "recip_rank"),
}
"""Family of ours -> (its group there, name of the mean, name of a query's value)."""


def relevance_level(collection: Collection, split: str) -> int:
    """The grade from which a document counts in binary measures: 2 on TREC Deep Learning's passages."""
    tracks = [collection.card.measures.get(name) == TRACK_MEASURES for name in collection.pooled(split)]
    return 2 if tracks and all(tracks) else 1


def measures(level: int) -> str:
    """The measures of the file, and those that it lacks and irctl gives besides: R@1000 and RR@10."""
    names = [*(f"{family}@{k}" for family in ("nDCG", "AP", "R", "P") for k in CUTS), *(f"RR@{k}" for k in RR_CUTS)]
    return " ".join(_name(n, level) for n in [*names, "R@1000"])


def write(
    folder: Path,
    results: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    levels: Mapping[tuple[str, str], int],
) -> list[Path]:
    """FOLDER/SPLIT/metric.json of every split, below the data set's name where there are several; the files written.

    levels: (data set, split) -> relevance_level.
    """
    written, several = [], len({dataset for dataset, _ in levels}) > 1
    for (dataset, split), level in levels.items():
        home = folder / dataset.replace("/", "-") / split if several else folder / split
        home.mkdir(parents=True, exist_ok=True)
        mine = [[r for r in table if (r["dataset"], r["split"]) == (dataset, split)] for table in (results, rows)]
        write_json(home / FILE, _content(mine[0], mine[1], level))
        written.append(home / FILE)
    return written


def _content(results: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], level: int) -> dict[str, Any]:
    """The file of one split."""
    names = {
        _name(f"{family}@{k}", level): (group, f"{mean}@{k}", f"{value}_{k}")
        for family, (group, mean, value) in FAMILIES.items()
        for k in (RR_CUTS if family == "RR" else CUTS)
    }
    content: dict[str, Any] = {group: {} for group, _, _ in FAMILIES.values()}
    for r in results:
        if (known := names.get(r["measure"])) is not None:
            content[known[0]][known[1]] = round(r["value"], DECIMALS)
    of_query: dict[str, dict[str, float]] = {}
    for row in rows:
        if (known := names.get(row["measure"])) is not None:
            of_query.setdefault(row["query_id"], {})[known[2]] = round(row["value"], DECIMALS)
    return {**content, "perquery": of_query, "relevance_level": level}


def _name(measure: str, level: int) -> str:
    """A measure as irctl names it when documents count from this grade on."""
    family, _, cut = measure.partition("@")
    return measure if level == 1 or family == "nDCG" else f"{family}(rel={level})@{cut}"
