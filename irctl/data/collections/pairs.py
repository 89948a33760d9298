"""Training pairs in one file, {query, positive, negative?} a record: read as a collection of their distinct texts.

A JSON array, JSON lines, or tab-separated columns (MS MARCO's triples of texts). Training data only: its
judgements cover nothing but the pairs, so no score on it compares.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from irctl import hashing
from irctl.data.collections.beir import BeirFolder
from irctl.data.collections.cards import Card
from irctl.data.files import made_once
from irctl.data.files.lines import line_error, open_unpacked, read_first_line, read_json_lines, read_lines, suffix

FORMAT = 1
CHUNK = 1 << 20
BETWEEN = re.compile(r"[\s,\[\]]*")
FIELDS = ("query", "positive", "negative")


def is_pairs(path: Path) -> bool:
    """Whether a file holds records rather than one table of settings."""
    if suffix(path) != ".json":
        return suffix(path) == ".jsonl"
    with open_unpacked(path) as file:
        if file.read(64).lstrip().startswith(b"["):
            return True
    text = read_first_line(path)
    return '"query"' in text and '"positive"' in text


def read_pairs(path: Path) -> Iterator[tuple[int, str, str, str | None]]:
    """(line, query, positive, negative or None). Raises DataError with file:line for null, empty and equal texts."""
    for line, record in _records(path):
        texts = {}
        for name in FIELDS:
            value = record.get(name)
            if name == "negative" and value in (None, ""):
                continue
            if not isinstance(value, str) or not value.strip():
                raise line_error(path, line, f"a text as {name}", repr(value))
            texts[name] = value.strip()
        query, positive, negative = texts["query"], texts["positive"], texts.get("negative")
        if query == positive:
            raise line_error(path, line, "a positive that is not the query", positive)
        if negative == positive:
            raise line_error(path, line, "a negative that is not the positive", negative)
        yield line, query, positive, negative


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Records with their lines, one at a time: such files reach gigabytes."""
    if suffix(path) == ".tsv":
        for line, row in read_lines(path):
            fields = row.split("\t")
            if len(fields) not in (2, 3):
                raise line_error(path, line, "2 or 3 columns (query, positive, negative)", len(fields))
            yield line, dict(zip(FIELDS, fields, strict=False))
        return
    with open_unpacked(path) as file:
        start = file.read(64).lstrip()
    if not start.startswith(b"["):
        yield from read_json_lines(path)
        return
    parse, text = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8")()
    buffer, place, line = "", 0, 1
    with open_unpacked(path) as file:
        while chunk := file.read(CHUNK):
            try:
                buffer, place = buffer[place:] + text.decode(chunk), 0
            except UnicodeDecodeError as e:
                raise line_error(path, line, "UTF-8", f"byte 0x{e.object[e.start]:02x}") from None
            while True:
                gap = BETWEEN.match(buffer, place)
                assert gap is not None
                line += gap[0].count("\n")
                place = gap.end()
                try:
                    record, end = parse.raw_decode(buffer, place)
                except ValueError:
                    break  # the record goes on in the next chunk
                if not isinstance(record, dict):
                    raise line_error(path, line, "an object", record)
                yield line, record
                line += buffer.count("\n", place, end)
                place = end
    if place < len(buffer):
        raise line_error(path, line, "an object or the end of the array", buffer[place : place + 40])


def pairs_layout(path: Path) -> tuple[Card, BeirFolder]:
    """The file as a BEIR folder in the cache: one split, train, with positives 1 and negatives 0."""
    key = made_once.key_of({"file": hashing.sha256_file(path), "format": FORMAT})
    folder = made_once.make_once("pairs", key, lambda work: _write(path, work))
    layout = BeirFolder(folder)
    note = "training pairs; scores on them compare with nothing"
    return Card(name=path.name.split(".")[0], headline_split="train", splits=("train",), note=note), layout


def _write(path: Path, folder: Path) -> dict[str, Any]:
    passages: dict[str, str] = {}
    queries: dict[str, str] = {}
    grades: dict[tuple[str, str], int] = {}
    (folder / "qrels").mkdir()
    with (folder / "corpus.jsonl").open("w") as corpus, (folder / "queries.jsonl").open("w") as query_file:

        def listed(text: str, known: dict[str, str], file: Any, prefix: str) -> str:
            fingerprint = hashlib.sha256(text.encode()).hexdigest()[:24]
            if fingerprint not in known:
                known[fingerprint] = f"{prefix}{len(known)}"
                file.write(json.dumps({"_id": known[fingerprint], "text": text}, ensure_ascii=False) + "\n")
            return known[fingerprint]

        for _, query, positive, negative in read_pairs(path):
            query_id = listed(query, queries, query_file, "q")
            for text, grade in ((positive, 1), (negative, 0)):
                if text is not None:
                    pair = (query_id, listed(text, passages, corpus, "p"))
                    # A negative that is the positive of another pair of the query stays positive.
                    grades[pair] = max(grade, grades.get(pair, 0))
    with (folder / "qrels/train.tsv").open("w") as qrels:
        qrels.write("query-id\tcorpus-id\tscore\n")
        qrels.writelines(f"{q}\t{p}\t{grade}\n" for (q, p), grade in grades.items())
    return {"queries": len(queries), "passages": len(passages)}
