"""Looking for what is wrong in a BEIR or MS MARCO folder: every line is read, everything is reported at once.

Dimension key: N records of a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from irctl.data.judgements.run_ids import HINT, find_unfit_document

if TYPE_CHECKING:
    from irctl.data.collections.collection import Collection


from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.data import draws
from irctl.data.collections.cards import read_card
from irctl.data.collections.open import find_layout
from irctl.data.collections.self_match import have_same_text, rule_of
from irctl.data.files.kinds import kind_of
from irctl.data.files.lines import read_entries, read_lines, suffix
from irctl.data.judgements.qrels_files import column_parser
from irctl.data.judgements.run_ids import why_unfit
from irctl.data.texts.corpus import join_title
from irctl.data.texts.id_map import hash_text
from irctl.data.texts.records import TextRecord, line_parser, read_texts
from irctl.errors import DataError

SAMPLE = 10_000
"""Texts tokenised for the truncation rate; a share of so many is within half a point."""
PASSAGES = "passages"
CountTokens = Callable[[Sequence[str]], Sequence[int]]


@dataclass
class Report:
    """findings: {level, where, what}, at most `limit` of a kind; counts: all of them, and sizes."""

    limit: int = 10
    findings: list[dict[str, str]] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)
    _seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, level: str, kind: str, where: str, what: str) -> None:
        self._seen[(level, kind)] += 1
        if self._seen[(level, kind)] <= self.limit:
            self.findings.append({"level": level, "kind": kind, "where": where, "what": what})

    @property
    def errors(self) -> int:
        return sum(n for (level, _), n in self._seen.items() if level == "error")

    @property
    def warnings(self) -> int:
        return sum(n for (level, _), n in self._seen.items() if level == "warning")

    def kinds(self) -> dict[str, int]:
        """How often each kind occurred, listed or not."""
        return {f"{level}: {kind}": n for (level, kind), n in sorted(self._seen.items())}


class _IdHashes:
    """Hashes and lines of a file's ids, and hashes of the texts with and without title: 32 bytes each.

    An empty text has the hash 0.
    """

    def __init__(self) -> None:
        self.hashes, self.lines = array("Q"), array("q")
        self.texts, self.untitled = array("Q"), array("Q")

    def columns(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]:
        """(hash of the id, hash of the text, line) of every record, [N] each."""
        n = np.zeros(0, np.uint64)
        hashes_N, texts_N = (np.frombuffer(a, np.uint64) if a else n for a in (self.hashes, self.texts))
        return hashes_N, texts_N, np.frombuffer(self.lines, np.int64) if self.lines else np.zeros(0, np.int64)

    def sorted(self) -> NDArray[np.uint64]:
        return np.sort(np.frombuffer(self.hashes, np.uint64) if self.hashes else np.zeros(0, np.uint64))

    def repeated(self) -> list[tuple[int, int]]:
        """(line, earlier line) of ids that occur again."""
        if not self.hashes:
            return []
        hashes_N = np.frombuffer(self.hashes, np.uint64)
        order_N = np.argsort(hashes_N, kind="stable")
        again = np.flatnonzero(hashes_N[order_N][1:] == hashes_N[order_N][:-1])
        return [(self.lines[int(order_N[i + 1])], self.lines[int(order_N[i])]) for i in again]


class _GradedPairs:
    """Pairs of query and document with their grades: 32 bytes each."""

    def __init__(self) -> None:
        self._pairs, self._lines, self._grades = array("Q"), array("q"), array("d")

    def add(self, line: int, query: str, document: str, grade: float) -> None:
        self._pairs.append(hash_text(f"{query}\0{document}"))
        self._lines.append(line)
        self._grades.append(grade)

    def contradicted(self) -> tuple[int, list[tuple[int, int]]]:
        """How many pairs have several grades, and (line, earlier line) of each change of grade, by line."""
        if not self._pairs:
            return 0, []
        pairs_N, grades_N = np.frombuffer(self._pairs, np.uint64), np.frombuffer(self._grades)
        order_N = np.argsort(pairs_N, kind="stable")
        same_N = pairs_N[order_N][1:] == pairs_N[order_N][:-1]
        other_N = grades_N[order_N][1:] != grades_N[order_N][:-1]
        places = np.flatnonzero(same_N & other_N)
        lines = sorted((self._lines[int(order_N[i + 1])], self._lines[int(order_N[i])]) for i in places)
        return len(np.unique(pairs_N[order_N][places])), lines


def check_folder(folder: Path, *, max_len: int = 0, count_tokens: CountTokens | None = None, limit: int = 10) -> Report:
    """Everything that is wrong with a folder. Raises DataError only where there is no collection at all.

    max_len, count_tokens: also the share of passages that are cut at so many tokens.
    """
    if not folder.is_dir():
        if folder.exists():
            raise DataError(f"{folder}: expected the folder of a collection, found {kind_of(folder)}")
        raise DataError(f"{folder}: no such folder")
    report = Report(limit)
    layout = find_layout(folder, hint="")
    try:
        card = read_card(folder)
    except DataError as e:
        card = None
        report.add("error", "card", str(folder), e.message)
    documents = _texts(layout.corpus_file, report, PASSAGES, max_len, count_tokens)
    documents_N = documents.sorted()
    splits = layout.splits()
    if not splits:
        report.add("error", "no judgements", str(folder), "no qrels of any split")
    queries: dict[Path, _IdHashes] = {}
    judged: dict[str, set[int]] = {}
    relevant: set[int] = set()
    for split in splits:
        try:
            path, qrels = layout.query_file(split), layout.qrels_file(split)
        except DataError as e:
            report.add("error", "missing file", str(folder), e.message)
            continue
        if path not in queries:
            queries[path] = _texts(path, report, f"queries in {path.name}", 0, None)
        known = (queries[path].sorted(), documents_N)
        judged[split] = _judgements(qrels, split, *known, relevant, report)
    every = set().union(*judged.values())
    for path, ids in queries.items():
        rest = sum(h not in every for h in ids.hashes)
        if rest:
            report.add("warning", "queries without judgements", path.name, f"{rest} of {len(ids.hashes)} queries")
    if not (card and card.ids_shared):
        _coincidence(queries, documents, judged, card.self_match if card else "", report)
    _copies(documents, relevant, layout.corpus_file.name, report)
    return report


def _texts(path: Path, report: Report, name: str, max_len: int, count_tokens: CountTokens | None) -> _IdHashes:
    """Read a corpus or query file; null texts, malformed lines, empty texts, repeated ids."""
    ids = _IdHashes()
    sample: list[str] = []
    draw = draws.generator("check", path.name)
    for record in _records(path, report):
        line = record.line
        ids.hashes.append(hash_text(record.id))
        ids.lines.append(line)
        if why := why_unfit(record.id, query=name != PASSAGES):
            report.add("error", "id of no run file", f"{path.name}:{line}", f"id {record.id!r} {why}")
        passage = join_title(record.title, record.text)
        ids.texts.append(hash_text(passage) if passage else 0)
        alone = join_title("", record.text)
        ids.untitled.append(ids.texts[-1] if alone == passage else hash_text(alone) if alone else 0)
        if not passage:
            report.add("warning", "empty text", f"{path.name}:{line}", f"id {record.id} has no text")
        if count_tokens:  # reservoir: every record is as likely to be in the sample
            n = len(ids.hashes)
            if len(sample) < SAMPLE:
                sample.append(passage)
            elif (place := int(draw.integers(0, n))) < SAMPLE:
                sample[place] = passage
    for line, earlier in ids.repeated():
        report.add("error", "duplicate id", f"{path.name}:{line}", f"same id as line {earlier}")
    report.counts[name] = len(ids.hashes)
    if count_tokens and sample:
        lengths = np.asarray(count_tokens(sample))
        share = float((lengths > max_len).mean())
        report.counts["tokens"] = f"median {np.median(lengths):.0f}, longest {lengths.max()}"
        report.counts["truncated"] = f"{share:.1%} of {len(sample)} passages at {max_len} tokens"
    return ids


def _records(path: Path, report: Report) -> Iterator[TextRecord]:
    """Records of a corpus or query file; what is malformed is reported, and ends a parquet file, which has no lines."""
    if suffix(path) == ".parquet":
        try:
            yield from read_texts(path)
        except DataError as e:
            report.add("error", "malformed", path.name, e.message)
        return
    parse = line_parser(path)
    for line, text in read_lines(path):
        try:
            record = parse(line, text)
        except DataError as e:
            report.add("error", "malformed", f"{path.name}:{line}", e.message.partition(f":{line}: ")[2] or e.message)
        else:
            yield record


def _judgements(
    path: Path,
    split: str,
    queries_N: NDArray[np.uint64],
    documents_N: NDArray[np.uint64],
    relevant: set[int],
    report: Report,
) -> set[int]:
    """Read one qrels file; returns the hashes of its queries, and adds those of relevant documents to `relevant`."""
    parse = column_parser(path)
    best: dict[int, float] = {}
    judged = _GradedPairs()
    names: dict[int, str] = {}
    rows, has_header = 0, False
    top = 0
    for line, text in read_entries(path):
        where, top = f"{path.name}:{line}", top or line
        try:
            found = parse(line, text)
        except DataError as e:
            report.add("error", "malformed", where, e.message.partition(f":{line}: ")[2] or e.message)
            continue
        if found is None:
            has_header = True
            continue
        rows += 1
        if not found.score.is_integer():
            report.add("error", "grade", where, f"expected a whole number, found {found.score:g}")
        query, document = hash_text(found.query_id), hash_text(found.document_id)
        if not _has(queries_N, query):
            report.add("error", "unknown query", where, f"no query {found.query_id}")
        if not _has(documents_N, document):
            report.add("error", "unknown document", where, f"no document {found.document_id}")
        judged.add(line, found.query_id, found.document_id, found.score)
        if found.score > 0:
            relevant.add(document)
        best[query] = max(best.get(query, found.score), found.score)
        names[query] = found.query_id
    conflicts, places = judged.contradicted()
    for line, earlier in places:
        report.add("error", "two grades", f"{path.name}:{line}", f"another grade for the pair of line {earlier}")
    if path.parent.name == "qrels" and not has_header and top:
        report.add("warning", "no header", f"{path.name}:{top}", "BEIR's own loader skips this judgement")
    for query, grade in best.items():
        if grade <= 0:
            report.add("warning", "no relevant document", path.name, f"query {names[query]}: all judgements <= 0")
    report.counts[f"judgements in {split}"] = rows
    report.counts[f"judged queries in {split}"] = len(best)
    if conflicts:
        report.counts[f"pairs of several grades in {split}"] = conflicts
    return set(best)


def _has(sorted_N: NDArray[np.uint64], value: int) -> bool:
    place = int(np.searchsorted(sorted_N, np.uint64(value)))
    return place < len(sorted_N) and int(sorted_N[place]) == value


def _coincidence(
    queries: dict[Path, _IdHashes], documents: _IdHashes, judged: dict[str, set[int]], stated: str, report: Report
) -> None:
    """Ids that queries and documents have in common: dropping self-matches is right only where they name the same.

    judged: hashes of the queries of each split. stated: what the card says; empty: the texts decide, split by split.
    """
    columns = [i.columns() for i in queries.values()]
    none = np.zeros(0, np.uint64)
    own, first = np.unique(np.concatenate([none, *(c[0] for c in columns)]), return_index=True)
    texts = np.concatenate([none, *(c[1] for c in columns)])[first]
    ids_N, texts_N, _ = documents.columns()
    both_K, mine, theirs = np.intersect1d(own, ids_N, return_indices=True)
    if not len(both_K):
        return
    same_K = have_same_text(texts[mine], texts_N[theirs], np.array(documents.untitled)[theirs])
    what = f"{len(both_K)} of {len(own)} query ids are document ids too, {int(same_K.sum())} of them with the same text"
    rules: dict[str, list[str]] = {}
    for split, hashes in judged.items():
        in_split_K = np.isin(both_K, np.fromiter(hashes, np.uint64, len(hashes)))
        rule = stated or rule_of(int((same_K & in_split_K).sum()), int(in_split_K.sum()))
        rules.setdefault({"drop": "dropped", "keep": "kept"}[rule], []).append(split)
    said = ", ".join(f"{done} in {' '.join(splits)}" for done, splits in rules.items())
    report.add("warning", "ids coincide", "", f"{what}; self-matches are {said}, unless eval.self_match is set")


def _copies(documents: _IdHashes, relevant: set[int], name: str, report: Report) -> None:
    """Passages with the very text of an earlier one, and those of a relevant one that are not judged relevant."""
    ids_N, texts_N, lines_N = documents.columns()
    order_N = np.argsort(texts_N, kind="stable")
    order_N = order_N[texts_N[order_N] > 0]
    sorted_N = texts_N[order_N]
    again = np.flatnonzero(sorted_N[1:] == sorted_N[:-1]) + 1
    report.counts["duplicate texts"] = len(again)
    for i in again.tolist():
        report.add("warning", "duplicate text", f"{name}:{lines_N[order_N[i]]}", f"as line {lines_N[order_N[i - 1]]}")
    is_relevant_N = np.isin(ids_N, np.fromiter(relevant, np.uint64, len(relevant)))
    copies = np.flatnonzero(~is_relevant_N & (texts_N > 0) & np.isin(texts_N, texts_N[is_relevant_N]))
    report.counts["copies of positives"] = len(copies)
    what = "the text of a relevant passage, not judged relevant itself: never a negative, but a miss in evaluation"
    for i in copies.tolist():
        report.add("warning", "copy of a positive", f"{name}:{lines_N[i]}", what)


def refuse_unfit_ids(collection: Collection, split: str) -> None:
    """Raise DataError for an id of a document, or of a query of this split, that no run file can hold."""
    kinds = {"query": next((q for q in collection.queries(split).ids if why_unfit(q, query=True)), "")}
    kinds["document"] = "" if kinds["query"] else find_unfit_document(collection.corpus.store)
    for kind, name in kinds.items():
        if name:
            raise DataError(
                f"{collection.name}: {kind} id {name!r} {why_unfit(name, query=kind == 'query')}", hint=HINT
            )
