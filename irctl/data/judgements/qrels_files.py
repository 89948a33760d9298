"""Judgements in every form they come in, read as (line, query id, document id, score).

Forms: TREC (4 columns), BEIR and other 3 columns with or without a header, MS MARCO triples, grouped JSON lines
{qid, docid: [...], score: [...]}, Tevatron training lines, a synthetic corpus whose ids are <qid>_l_<level>_d_<n>,
RepCONC's {qid: [docid, ...]} JSON, parquet, and a BEIR folder (its qrels/train.tsv). Pickles are refused.
Lines of columns that begin with # are comments; a # elsewhere is part of an id.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from irctl.data.files import column_names
from irctl.data.files.arrow import open_parquet, read_batches, reading
from irctl.data.files.lines import (
    BLANKS,
    as_id,
    line_error,
    read_entries,
    read_json_lines,
    refuse_pickle,
    split_words,
    suffix,
)
from irctl.data.judgements.nested_json import Pairs, read_nested
from irctl.errors import DataError
from irctl.files import is_input

SYNTHETIC = re.compile(r"(?P<qid>.+)_l_(?P<level>-?\d+)_d_(?P<number>\w+)")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
LARGEST_SCORE = 3.4028234663852886e38
"""What float32 holds."""
LOOKED_AT = 1000
FEWEST = 5
LARGEST_GRADE = 1000
DIFFERENT = 0.9
"""Scores of that many lines are document ids if there are FEWEST, all above LARGEST_GRADE, and that share differs."""


class Judgement(NamedTuple):
    line: int | str  # what else names the place where a file has no lines: a query of JSON
    query_id: str
    document_id: str
    score: float


def read_judgements(path: Path) -> Iterator[Judgement]:
    """Judgements of a file in file order. Raises DataError with file:line for what is malformed."""
    if path.is_dir():
        return read_judgements(path / "qrels" / "train.tsv")
    is_input(path)
    kind = suffix(path)
    refuse_pickle(path, "grouped JSON lines or tsv")
    if kind == ".parquet":
        return _parquet(path)
    if kind in (".jsonl", ".ndjson"):
        return _json_lines(path)
    if kind == ".json":
        return _json_document(path)
    return _triples(path) if "triples" in path.name else _columns(path)


def column_parser(path: Path) -> Callable[[int, str], Judgement | None]:
    """A function of (line number, line) that gives its judgement, None for a header.

    BEIR's loader skips the first line blindly; here a line with a number as score is data.
    """
    order: tuple[int, int, int] | None = None
    width = 0

    def parse(line: int, text: str) -> Judgement | None:
        nonlocal order, width
        fields = _split(path, text, width)
        if order is None:
            if len(fields) not in (3, 4):
                expected = "3 columns (query-id, corpus-id, score) or 4 (qid iter docid grade)"
                raise line_error(path, line, expected, len(fields))
            width = len(fields)
            header = column_names.judged_columns(fields, f"{path}:{line}")
            order = header or ((0, 2, 3) if width == 4 else (0, 1, 2))
            if header:
                return None
        if len(fields) != width:
            names = "query-id, corpus-id, score" if width == 3 else "qid, iter, docid, grade"
            raise line_error(path, line, f"{width} columns ({names})", len(fields))
        q, d, s = (fields[i] for i in order)
        return _judgement(path, line, q, d, s)

    return parse


def _columns(path: Path) -> Iterator[Judgement]:
    parse = column_parser(path)
    judgements = (j for line, text in read_entries(path) if (j := parse(line, text)) is not None)
    head = list(islice(judgements, LOOKED_AT))
    _refuse_triples(path, head)
    return chain(head, judgements)


def _refuse_triples(path: Path, head: list[Judgement]) -> None:
    """Refuse 3 columns without a header whose scores look like document ids.

    That is: enough of them, all whole and larger than any grade, hardly one twice.
    """
    scores = [j.score for j in head]
    if len(head) < FEWEST or len(set(scores)) < DIFFERENT * len(scores):
        return
    line, text = next(read_entries(path))
    if head[0].line != line or len(_split(path, text, 0)) != 3:
        return
    if not all(s > LARGEST_GRADE and s.is_integer() for s in scores):
        return
    raise line_error(
        path,
        line,
        "a score in the third column",
        f"{scores[0]:.0f}, which like those below it looks like a document id",
        hint="Name a file of (query, positive, negative) *triples*.tsv; of scores: a header query-id, corpus-id, score",
    )


def _split(path: Path, text: str, width: int) -> list[str]:
    delimiter = DELIMITERS.get(suffix(path))
    if delimiter == "," and '"' in text:
        return next(csv.reader([text], skipinitialspace=True))
    if delimiter and delimiter in text:
        return [f.strip(BLANKS) for f in text.split(delimiter)]
    return text.split("\t") if text.count("\t") >= max(width - 1, 2) else split_words(text)


def _judgement(path: Path, line: int | str, query: object, document: object, score: object) -> Judgement:
    q, d = as_id(query), as_id(document)
    if q is None or d is None:
        raise line_error(path, line, "a query id and a document id", f"{query!r} and {document!r}")
    return Judgement(line, q, d, _number(path, line, score))


def _number(path: Path, line: int | str, score: object) -> float:
    try:
        value = math.nan if isinstance(score, bool) else float(score)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not abs(value) <= LARGEST_SCORE:  # not a number neither
        hint = f"A header needs names of {column_names.KNOWN}" if line == 1 and isinstance(score, str) else ""
        raise line_error(path, line, "a finite score (up to 3.4e38)", repr(score), hint)
    return value


def _triples(path: Path) -> Iterator[Judgement]:
    """MS MARCO training triples of ids: positive 1, negative 0."""
    for at, (line, text) in enumerate(read_entries(path)):
        fields = text.split("\t") if "\t" in text else split_words(text)
        if len(fields) != 3:
            raise line_error(path, line, "3 columns (query, positive, negative)", len(fields))
        if at == 0 and fields[0].lower() in (*column_names.QUERY, "query"):
            continue
        if any(" " in f for f in fields):
            raise line_error(path, line, "ids", "texts", hint="irctl data convert turns triples of texts into a folder")
        yield Judgement(line, fields[0], fields[1], 1.0)
        yield Judgement(line, fields[0], fields[2], 0.0)


def _json_lines(path: Path) -> Iterator[Judgement]:
    for line, value in read_json_lines(path):
        query, document, score = (_field(path, line, value, meaning) for meaning in column_names.JUDGED)
        if "positive_passages" in value:
            yield from _tevatron(path, line, query, value)
        elif isinstance(document, list):
            yield from _grouped(path, line, query, document, score)
        elif query is not None and document is not None:
            yield _judgement(path, line, query, document, score)
        else:
            yield _synthetic(path, line, value)


def _field(path: Path, line: int, value: dict[str, Any], meaning: str) -> Any:
    """The field that means a query, a document or a score; None if there is none."""
    fields = [n for n in column_names.JUDGED[meaning] if n in value]
    if len(fields) > 1:
        raise line_error(path, line, f"one {meaning} field", " and ".join(fields))
    return value[fields[0]] if fields else None


def _grouped(path: Path, line: int, query: object, documents: list[Any], scores: object) -> Iterator[Judgement]:
    if not isinstance(scores, list) or len(scores) != len(documents):
        length = len(scores) if isinstance(scores, list) else scores
        raise line_error(path, line, f"a list of {len(documents)} scores, one a docid", length)
    for document, score in zip(documents, scores, strict=True):
        yield _judgement(path, line, query, document, score)


def _tevatron(path: Path, line: int, query: object, value: dict[str, Any]) -> Iterator[Judgement]:
    for name, score in (("positive_passages", 1.0), ("negative_passages", 0.0)):
        for passage in value.get(name) or []:
            document = passage.get("docid") if isinstance(passage, dict) else passage
            yield _judgement(path, line, query, document, score)


def _synthetic(path: Path, line: int, value: dict[str, Any]) -> Judgement:
    name = as_id(value.get(column_names.id_name(value) or "")) or ""
    if not (match := SYNTHETIC.fullmatch(name)):
        raise line_error(path, line, "qid and docid fields, or an id <qid>_l_<level>_d_<n>", name or ", ".join(value))
    return Judgement(line, match["qid"], name, float(match["level"]))


def _json_document(path: Path) -> Iterator[Judgement]:
    """{qid: [docid, ...]} (mined negatives, score 0) or {qid: {docid: score}}. JSON lines in a .json file work too."""
    try:
        nested = read_nested(path)
    except DataError:  # more than one JSON text: lines, whose reader names the one that is broken
        nested = None
    if nested is None or any(n in dict(nested) for n in column_names.QUERY):
        yield from _json_lines(path)
        return
    for query, documents in nested:
        for document, score in documents if isinstance(documents, Pairs) else ((d, 0) for d in documents):
            yield _judgement(path, f"query {query}", query, document, score)


def _parquet(path: Path) -> Iterator[Judgement]:
    file = open_parquet(path, str(path))
    order = column_names.judged_columns(file.schema_arrow.names, str(path))
    if order is None:
        raise DataError(
            f"{path}: expected columns qid, docid and score, found {', '.join(file.schema_arrow.names)}",
            hint=f"Names of {column_names.KNOWN}",
        )
    names = [file.schema_arrow.names[i] for i in order]
    row = 0
    for batch in read_batches(file, str(path), 65536, columns=names):
        with reading(str(path)):
            columns = [batch.column(n).to_pylist() for n in names]
        for query, document, score in zip(*columns, strict=True):
            row += 1
            if isinstance(document, list):
                yield from _grouped(path, row, query, document, score)
            else:
                yield _judgement(path, row, query, document, score)
