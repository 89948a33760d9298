"""What ranks candidates for mining: BM25, a run file; vectors and codes are in dense_rankers.py.

Dimension key: N documents, k candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import stopping
from irctl.errors import DataError

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Queries
    from irctl.pipelines.hardneg.judged_split import MiningSplit


Ranked = list[tuple[str, float]]


@dataclass(frozen=True)
class Ranker:
    """Where candidates come from.

    ranked(query row, k): the k best documents with scores. score(query row, ids): scores of named documents, or None
    where only a finished run is known. provenance: what made the ranking, for the file beside the negatives. kept: what
    of the work a stop leaves behind. is_searched: by vectors or codes, so that its ranking is worth a run file.
    """

    ranked: Callable[[int, int], Ranked]
    score: Callable[[int, list[str]], list[float]] | None
    provenance: dict[str, Any]
    kept: str = ""
    is_searched: bool = False


def rank_by_bm25(split: MiningSplit, config: Config) -> Ranker:
    """Candidates by BM25."""
    from irctl.index.bm25 import take_best
    from irctl.pipelines.search.bm25 import build_index

    corpus, queries = split.collection.corpus, split.queries
    bm25, ids = build_index(corpus, config.search), corpus.ids

    def ranked(row: int, k: int) -> Ranked:
        rows, scores = take_best(bm25.scores(queries.texts[row]), k)
        return [(ids[int(r)], float(s)) for r, s in zip(rows, scores, strict=True)]

    def score(row: int, documents: list[str]) -> list[float]:
        all_N = bm25.scores(queries.texts[row])
        return [float(all_N[corpus.row(d)]) for d in documents]

    return Ranker(ranked, score, {"retriever": "bm25", "model": bm25.settings.label()})


def rank_by_run(path: Path, queries: Queries) -> Ranker:
    """Candidates from a finished run file. Raises DataError if it has none of the queries."""
    from irctl.data.judgements.runs import read_run
    from irctl.hashing import sha256_file

    with stopping.at_once("nothing of the mining is kept"):
        run = read_run(path)
    if not any(q in run for q in queries.ids):
        raise DataError(f"{path}: has none of the {len(queries.ids)} queries", hint="Give the run of the same --split")

    def ranked(row: int, k: int) -> Ranked:
        scores = run.get(queries.ids[row], {})
        return sorted(scores.items(), key=lambda x: (x[1], x[0]), reverse=True)[:k]

    return Ranker(ranked, None, {"retriever": "run", "run_file": str(path), "run_sha256": sha256_file(path)})
