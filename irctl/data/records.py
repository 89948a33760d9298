"""Texts with ids, as they come out of a file: JSON lines, tab-separated columns or parquet.

A reader yields (line, id, title, text); the line is what a complaint names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from irctl.data.lines import identifier, json_objects, malformed, numbered, suffix
from irctl.errors import DataError

ID_NAMES = ("_id", "qid", "query_id", "query-id", "docid", "passage_id", "passage-id", "corpus-id")
LATIN_1_RUN = re.compile("[\u0080-\u00ff]+")
READER_VERSION = 1
"""Part of every cache key: raise it when a reader's output changes for the same file."""


class Record(NamedTuple):
    line: int
    id: str
    title: str
    text: str


def read_texts(path: Path, *, fix_encoding: bool = False) -> Iterator[Record]:
    """Records of a corpus or query file, by its ending: .jsonl, .tsv, .parquet (gzip accepted for the first two).

    Raises DataError with file:line for a record without an id or a text.
    """
    kind = suffix(path)
    if kind in (".pkl", ".pickle"):
        raise DataError(f"{path}: pickle files are never loaded", hint="Convert it to JSON lines")
    if kind == ".parquet":
        records = _parquet(path)
    elif kind in (".jsonl", ".json", ".ndjson"):
        records = _jsonl(path)
    else:
        records = _columns(path)
    return (r._replace(title=repaired(r.title), text=repaired(r.text)) for r in records) if fix_encoding else records


def _jsonl(path: Path) -> Iterator[Record]:
    id_name = ""
    for line, value in json_objects(path):
        if id_name not in value:
            id_name = _id_name(path, line, value)
        yield _record(path, line, value[id_name], value.get("title"), value.get("text", ""), "text" in value)


def _id_name(path: Path, line: int, value: dict[str, Any]) -> str:
    present = [n for n in ID_NAMES if n in value]
    if len(present) != 1:
        raise malformed(path, line, f"exactly one id field of {', '.join(ID_NAMES)}", ", ".join(present) or "none")
    return present[0]


def _record(path: Path, line: int, id_: object, title: object, text: object, has_text: bool = True) -> Record:
    name = identifier(id_)
    if name is None:
        raise malformed(path, line, "an id", repr(id_))
    if not has_text or not isinstance(text, str):
        raise malformed(path, line, "a text", "null" if has_text and text is None else "none" if not has_text else text)
    if title is not None and not isinstance(title, str):
        raise malformed(path, line, "a title or null", title)
    return Record(line, name, title or "", text)


def _columns(path: Path) -> Iterator[Record]:
    """id, text; or id, title, text: RepCONC's corpus.tsv, where every field before the last belongs to the title.

    MS MARCO's own files have exactly two columns.
    """
    width = 0
    strict = path.name.startswith(("collection", "queries"))
    for line, row in numbered(path):
        fields = row.split("\t")
        width = width or (2 if strict else len(fields))
        if len(fields) != width or width < 2:
            raise malformed(path, line, f"{max(width, 2)} columns separated by tabs", len(fields))
        yield _record(path, line, fields[0], " ".join(fields[1:-1]), fields[-1])


def _parquet(path: Path) -> Iterator[Record]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    found = [n for n in (*ID_NAMES, "id") if n in names]
    if not found or "text" not in names:
        raise DataError(f"{path}: expected an id column and a column text, found {', '.join(names)}")
    columns = [found[0], "text", *(["title"] if "title" in names else [])]
    row = 0
    for batch in file.iter_batches(4096, columns=columns):
        for value in batch.to_pylist():
            row += 1
            yield _record(path, row, value[found[0]], value.get("title"), value["text"])


def repaired(text: str) -> str:
    """Undo UTF-8 that was read as Latin-1 and written again, run by run; runs where that cannot be undone stay.

    MS MARCO's collection holds such characters; published numbers use the raw text.
    """
    return text if text.isascii() else LATIN_1_RUN.sub(_undo, text)


def _undo(run: re.Match[str]) -> str:
    try:
        return run[0].encode("latin-1").decode("utf-8")
    except UnicodeError:
        return run[0]
