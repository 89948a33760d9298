"""Rankings in every form they come in, read as (place, query id, document id, score).

Forms: TREC (6 columns), MS MARCO (qid, pid, rank), ranx's run.json {qid: {docid: score}} and parquet with columns such
as q_id, doc_id, score. A place is what a complaint names: a line, a row, or a query of JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from irctl.data.files import column_names
from irctl.data.files.arrow import open_parquet, read_batches, reading
from irctl.data.files.lines import as_id, line_error, open_unpacked, read_entries, split_words, suffix
from irctl.data.judgements.nested_json import Pairs, read_nested
from irctl.errors import ConfigError, DataError

FLOAT32_LIMIT = 3.4028235677973366e38
"""From here on a float64 rounds to an infinite float32."""
PARQUET_MAGIC = b"PAR1"
TREC, JSON, PARQUET = "TREC", "JSON", "parquet"


class Ranked(NamedTuple):
    place: int | str
    query_id: str
    document_id: str
    score: float


def form_of(path: Path) -> str:
    """TREC, JSON or parquet, by the content: a ranking may be called run.json and be TREC's."""
    with open_unpacked(path) as file:
        head = file.read(64)
    if head.startswith(PARQUET_MAGIC):
        return PARQUET
    return JSON if suffix(path) == ".json" and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else TREC


def read_ranked(path: Path, *, trust_rank: bool = False) -> Iterator[Ranked]:
    """Every document of the file. trust_rank: scores are -rank, of the rank column that only TREC's form has."""
    form = form_of(path)
    if trust_rank and form != TREC:
        raise ConfigError(f"--trust-rank: {path} is {form} and has no rank column", hint="Drop --trust-rank")
    if form == TREC:
        return _trec(path, trust_rank)
    return _parquet(path) if form == PARQUET else _json(path)


def read_ranked_msmarco(path: Path) -> Iterator[Ranked]:
    """MS MARCO's 3 columns; scores are -rank."""
    for line, text in read_entries(path, indented=True):
        fields = split_words(text)
        if len(fields) != 3:
            raise line_error(path, line, "3 columns (qid, pid, rank)", len(fields))
        yield Ranked(line, fields[0], fields[1], -_rank(path, line, fields[2]))


def _trec(path: Path, trust_rank: bool) -> Iterator[Ranked]:
    for line, text in read_entries(path, indented=True):
        fields = split_words(text)
        if len(fields) < 6:
            hint = "For qid, pid, rank use --format msmarco" if len(fields) == 3 else ""
            raise line_error(path, line, "6 columns (qid Q0 docid rank score tag)", len(fields), hint)
        score = -_rank(path, line, fields[3]) if trust_rank else _score(path, line, fields[4])
        yield Ranked(line, fields[0], fields[2], score)


def _json(path: Path) -> Iterator[Ranked]:
    form = "{qid: {docid: score}}"
    nested = read_nested(path, hint=f"A ranking in JSON is one object of the form {form}, as ranx writes it")
    if nested is None or not all(isinstance(documents, Pairs) for _, documents in nested):
        raise DataError(f"{path}: expected JSON of the form {form}", hint="ranx writes run.json so")
    for query, documents in nested:
        for document, score in documents:
            yield _ranked(path, f"query {query}", query, document, score)


def _parquet(path: Path) -> Iterator[Ranked]:
    file = open_parquet(path, str(path))
    names = file.schema_arrow.names
    order = column_names.judged_columns(names, str(path))
    if order is None:
        raise DataError(
            f"{path}: expected columns such as q_id, doc_id and score, found {', '.join(names)}",
            hint=f"Names of {column_names.KNOWN}",
        )
    row = 0
    for batch in read_batches(file, str(path), 65536, columns=[names[i] for i in order]):
        with reading(str(path)):
            columns = [batch.column(names[i]).to_pylist() for i in order]
        for query, document, score in zip(*columns, strict=True):
            row += 1
            yield _ranked(path, row, query, document, score)


def _ranked(path: Path, place: int | str, query: object, document: object, score: object) -> Ranked:
    q, d = as_id(query), as_id(document)
    if q is None or d is None:
        raise line_error(path, place, "a query id and a document id", f"{query!r} and {document!r}")
    return Ranked(place, q, d, _score(path, place, score))


def _rank(path: Path, line: int, text: str) -> float:
    try:
        return float(int(text))
    except ValueError:
        raise line_error(path, line, "a whole-number rank", text) from None


def _score(path: Path, place: int | str, value: object) -> float:
    try:
        score = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not abs(score) < FLOAT32_LIMIT:  # false for NaN too
        raise line_error(path, place, "a finite score", value)
    return score
