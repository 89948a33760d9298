"""Texts with ids, as they come out of a file: JSON lines, tab-separated columns or parquet.

A reader yields (line, id, title, text); the line is what a complaint names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from irctl.data.files import column_names
from irctl.data.files.arrow import open_parquet, read_batches, reading
from irctl.data.files.lines import as_id, line_error, parse_json_line, read_lines, refuse_pickle, suffix
from irctl.errors import DataError

QUERY_FILE = re.compile(r"(queries|query|topics)\b|.*-queries\.")
LATIN_1_RUN = re.compile("[\u0080-\u00ff]+")
READER_VERSION = 2
"""Part of every cache key: raise it when a reader's output changes for the same file."""


class TextRecord(NamedTuple):
    line: int
    id: str
    title: str
    text: str


def read_texts(path: Path, *, fix_encoding: bool = False) -> Iterator[TextRecord]:
    """Records of a corpus or query file, by its ending: .jsonl, .tsv, .parquet (gzip accepted for the first two).

    Raises DataError with file:line for a record without an id or a text.
    """
    records: Iterator[TextRecord]
    if suffix(path) == ".parquet":
        records = _parquet(path)
    else:
        parse = line_parser(path)
        records = (parse(line, text) for line, text in read_lines(path))
    return (
        (r._replace(title=repair_encoding(r.title), text=repair_encoding(r.text)) for r in records)
        if fix_encoding
        else records
    )


def line_parser(path: Path) -> Callable[[int, str], TextRecord]:
    """A function of (line number, line) that gives its record; it remembers the first line's id field or columns."""
    refuse_pickle(path, "JSON lines")
    return _object_parser(path) if suffix(path) in (".jsonl", ".json", ".ndjson") else _column_parser(path)


def _object_parser(path: Path) -> Callable[[int, str], TextRecord]:
    id_name = ""

    def parse(line: int, text: str) -> TextRecord:
        nonlocal id_name
        value = parse_json_line(path, line, text)
        if id_name not in value:
            id_name = _id_name(path, line, value)
        text_name = column_names.text_name(value)
        return _record(
            path, line, value[id_name], value.get("title"), value.get(text_name or ""), text_name is not None
        )

    return parse


def _id_name(path: Path, line: int, value: dict[str, Any]) -> str:
    name = column_names.id_name(value)
    if name is None:
        names = ", ".join(n for n in column_names.IDS if n in value) or "none"
        hint = f"Id fields: {', '.join(column_names.IDS)}"
        raise line_error(path, line, "exactly one id field, or _id among them", names, hint)
    return name


def _record(path: Path, line: int, id_: object, title: object, text: object, has_text: bool = True) -> TextRecord:
    name = as_id(id_)
    if name is None:
        raise line_error(path, line, "an id", repr(id_))
    if not has_text or not isinstance(text, str):
        raise line_error(
            path, line, "a text", "null" if has_text and text is None else "none" if not has_text else text
        )
    if title is not None and not isinstance(title, str):
        raise line_error(path, line, "a title or null", title)
    return TextRecord(line, name, title or "", text)


def _column_parser(path: Path) -> Callable[[int, str], TextRecord]:
    """id, text; or id, title, text: RepCONC's corpus.tsv, where every field before the last belongs to the title.

    MS MARCO's collection has exactly two columns. What follows the first tab of a query is its text, tabs and all.
    """
    is_of_queries = QUERY_FILE.match(path.name) is not None
    width = 2 if is_of_queries or path.name.startswith("collection") else 0

    def parse(line: int, text: str) -> TextRecord:
        nonlocal width
        fields = text.split("\t", 1 if is_of_queries else -1)
        width = width or max(len(fields), 2)
        if len(fields) != width:
            raise line_error(path, line, f"{width} columns separated by tabs", len(fields))
        return _record(path, line, fields[0], " ".join(fields[1:-1]), fields[-1])

    return parse


def _parquet(path: Path) -> Iterator[TextRecord]:
    file = open_parquet(path, str(path))
    names = file.schema_arrow.names
    id_name, text_name = column_names.id_name(names), column_names.text_name(names)
    if id_name is None or text_name is None:
        raise DataError(
            f"{path}: expected one id column and a column text, found {', '.join(names)}",
            hint=f"Ids: _id, or one of {', '.join(column_names.IDS[1:])}",
        )
    columns = [id_name, text_name, *(["title"] if "title" in names else [])]
    row = 0
    for batch in read_batches(file, str(path), 4096, columns=columns):
        with reading(str(path)):
            values = batch.to_pylist()
        for value in values:
            row += 1
            yield _record(path, row, value[id_name], value.get("title"), value[text_name])


def repair_encoding(text: str) -> str:
    """Undo UTF-8 that was read as Latin-1 and written again, run by run; runs where that cannot be undone stay.

    MS MARCO's collection holds such characters; published numbers use the raw text.
    """
    return text if text.isascii() else LATIN_1_RUN.sub(_undo, text)


def _undo(run: re.Match[str]) -> str:
    try:
        return run[0].encode("latin-1").decode("utf-8")
    except UnicodeError:
        return run[0]
