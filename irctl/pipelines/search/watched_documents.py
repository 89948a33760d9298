"""Scores of named documents (`search.watch_docs`), whether or not they are among the k best.

Dimension key: D dimensions, n documents watched for one query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irctl.data.judgements.qrels import read_qrels
from irctl.data.judgements.runs import write_run
from irctl.errors import DataError
from irctl.index.scoring import score_rows
from irctl.pipelines.search import exact_vectors
from irctl.pipelines.search.document_ids import Documents
from irctl.pipelines.search.opened_index import Searched
from irctl.types import Reporter, Run, Stream

if TYPE_CHECKING:
    from irctl.config import Config


Queries = Mapping[str, NDArray[np.float32]]
"""query id -> its vector [D]"""


def check(file: str) -> None:
    """DataError if the file of search.watch_docs is not there: before the search, not after it."""
    if file and not Path(file).is_file():
        raise DataError(f"search.watch_docs: no file {file}", hint="Its lines are those of a qrels file")


def write_scores(
    run_file: Path, searched: Searched, documents: Documents, queries: Queries, config: Config, reporter: Reporter
) -> dict[str, str]:
    """Write the scores of search.watch_docs next to the run file. Returns {watched: the path}, {} where none is set."""
    if not config.search.watch_docs:
        return {}
    target = run_file.with_name(f"{run_file.name.removesuffix('.gz').removesuffix('.trec')}.watched.trec.gz")
    exact = exact_vectors.open_exact(searched, config) if config.search.rerank else searched.stream
    scored = score_watched(Path(config.search.watch_docs), searched, exact, documents, queries, reporter)
    write_run(target, scored, "watched")
    return {"watched": str(target)}


def score_watched(
    path: Path, searched: Searched, exact: Stream | None, documents: Documents, queries: Queries, reporter: Reporter
) -> Run:
    """query id -> document id -> score as the search gives it, best first, of the documents that the file names.

    exact: the vectors that score them; None: the codes do. Raises DataError where the file names a document that is not
    searched, or no query that is.
    """
    watched = _read(path, list(queries), reporter)
    row_of = documents.rows({d for docs in watched.values() for d in docs})
    scored: Run = {}
    for query_id, names in watched.items():
        absent = next((d for d in names if d not in row_of), None)
        if absent is not None:
            raise DataError(f"{path}: query {query_id}: no document '{absent}' in what is searched")
        rows_n = np.array([row_of[d] for d in names], np.int64)
        query_1D = queries[query_id][None]
        if exact is not None:
            scores_n = score_rows(query_1D, exact.take(rows_n), searched.metric)[0]
        else:
            assert searched.bundle is not None
            best_1n, order_1n = searched.bundle.quantizer.search(query_1D, searched.bundle.take(rows_n), len(rows_n))
            scores_n = np.empty(len(rows_n), np.float32)
            scores_n[order_1n[0]] = best_1n[0]
        pairs = zip(map(float, scores_n), names, strict=True)
        scored[query_id] = {d: s for s, d in sorted(pairs, reverse=True)}
    return scored


def _read(path: Path, query_ids: Sequence[str], reporter: Reporter) -> dict[str, list[str]]:
    named = read_qrels(path, "last")  # grades do not count here
    watched = {q: list(named[q]) for q in query_ids if named.get(q)}
    if not watched:
        raise DataError(f"{path}: names none of the {len(query_ids)} queries searched", hint="Look at --data, --split")
    if left := len(named) - len(watched):
        reporter.say(f"{path}: {left} of its {len(named)} queries are not searched here")
    return watched
