"""Rankings of run files, read in any form of run_files.py and written as TREC's.

Order of a run: score rounded to float32, descending, then document id descending; trec_eval's order.
Dimension key: N documents ranked for one query.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irctl.data.files.lines import line_error, read_entries, split_words
from irctl.data.judgements.run_files import FLOAT32_LIMIT, TREC, Ranked, form_of, read_ranked, read_ranked_msmarco
from irctl.data.judgements.run_ids import why_unfit
from irctl.errors import DataError
from irctl.files import is_input, write_out
from irctl.types import Run

if TYPE_CHECKING:
    from irctl.data.texts.corpus import Corpus

Ranking = Iterable[tuple[str, float]]
QueryRankings = Iterable[tuple[str, Ranking]]


def read_run(path: Path, trust_rank: bool = False, *, corpus: Corpus | None = None) -> Run:
    """A run in any form of run_files.py but MS MARCO's; each query's dict is in ranking order.

    TREC's is read as trec_eval 10 does: lines that begin with # are comments, and what follows the first word of the
    tag is not looked at. trust_rank: order by the rank column instead, with scores -rank. corpus: every document must
    be in it. Raises DataError with file:line for a score that is not finite, a document twice in a query or not in the
    corpus, and for a file that ranks nothing.
    """
    is_input(path)
    return _read(path, lambda: read_ranked(path, trust_rank=trust_rank), corpus, is_by_rank=trust_rank)


def read_msmarco_run(path: Path, *, corpus: Corpus | None = None) -> Run:
    """An MS MARCO run, `qid<TAB>pid<TAB>rank` with ranks from 1; scores are -rank, so rank is the order."""
    return _read(path, lambda: read_ranked_msmarco(path), corpus, is_by_rank=True)


def _read(path: Path, ranked: Callable[[], Iterator[Ranked]], corpus: Corpus | None, *, is_by_rank: bool) -> Run:
    run: Run = {}
    for place, query_id, document_id, score in ranked():
        documents = run.setdefault(query_id, {})
        if document_id in documents:
            raise line_error(path, place, f"each document once in query {query_id}", f"{document_id} again")
        documents[document_id] = score
    if not run:
        raise DataError(f"{path}: expected a ranking, found no line of one", hint="Nothing was ranked: search again")
    if is_by_rank:
        _check_ranks(run, path)
    if corpus is not None:
        _check_documents(run, path, corpus, ranked)
    return {q: _ordered(documents) for q, documents in run.items()}


def read_tag(path: Path) -> str:
    """The tag in the first line of a run: in one that irctl wrote, the run that made it; empty where there is none."""
    if form_of(path) != TREC:
        return ""
    _, text = next(read_entries(path, indented=True), (0, ""))
    return "".join(split_words(text)[5:6])


def _check_ranks(run: Run, path: Path) -> None:
    for query_id, documents in run.items():
        if len(set(documents.values())) < len(documents):
            raise DataError(f"{path}: query {query_id} has two documents of one rank", hint="Order by score instead")


def _check_documents(run: Run, path: Path, corpus: Corpus, ranked: Callable[[], Iterator[Ranked]]) -> None:
    names = list({d for documents in run.values() for d in documents})
    missing = {n for n, row in zip(names, corpus.find(names), strict=True) if row < 0}
    if missing:
        first = next(r for r in ranked() if r.document_id in missing)
        raise line_error(path, first.place, "documents of the corpus", first.document_id)


def _ordered(documents: Mapping[str, float]) -> dict[str, float]:
    scores_N = np.fromiter(documents.values(), np.float64, len(documents)).astype(np.float32).tolist()
    pairs = sorted(zip(scores_N, documents, strict=True), reverse=True)
    return {d: s for s, d in pairs}


def write_run(path: Path, run: Run | QueryRankings, tag: str) -> str:
    """Write a TREC run (gzip if the name ends in .gz), queries in the order given. Returns the file's sha256.

    Equal rankings give equal bytes: gzip without time or name, scores as %.9g of float32, rank from 1.
    """
    pairs: QueryRankings = ((q, d.items()) for q, d in run.items()) if isinstance(run, Mapping) else run
    return _write_lines(path, (_run_lines(path, query_id, ranking, tag) for query_id, ranking in pairs))


def _run_lines(path: Path, query_id: str, ranking: Ranking, tag: str) -> str:
    ordered = _checked(path, query_id, ranking)
    rows = enumerate(ordered.items(), 1)
    return "".join(f"{query_id} Q0 {d} {rank} {score:.9g} {tag}\n" for rank, (d, score) in rows)


def _checked(path: Path, query_id: str, ranking: Ranking) -> dict[str, float]:
    pairs = list(ranking)
    documents = dict(pairs)
    bad = next((d for d, s in pairs if not abs(s) < FLOAT32_LIMIT), None)
    if bad is not None:
        raise DataError(f"{path}: query {query_id}, document {bad}: expected a finite score, found {documents[bad]}")
    if len(documents) < len(pairs):
        raise DataError(f"{path}: query {query_id} ranks a document twice")
    if why := why_unfit(query_id, query=True):
        raise DataError(f"{path}: query id {query_id!r} {why}")
    if (bad := next((d for d in documents if why_unfit(d)), None)) is not None:
        raise DataError(f"{path}: document id {bad!r} {why_unfit(bad)}")
    return _ordered(documents)


def _write_lines(path: Path, texts: Iterable[str]) -> str:
    def write(file: object) -> None:
        if path.suffix != ".gz":
            for text in texts:
                file.write(text.encode())  # type: ignore[attr-defined]
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:  # type: ignore[call-overload]
            for text in texts:
                packed.write(text.encode())

    return write_out(path, write).sha256
