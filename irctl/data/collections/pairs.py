"""Training pairs in one file, {query, positive, negative?} a record: read as a collection of their distinct texts.

A JSON array, JSON lines, or tab-separated columns (MS MARCO's triples of texts). Training data only: its
judgements cover nothing but the pairs, so no score on it compares.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from irctl import hashing
from irctl.data.collections.beir import BeirFolder
from irctl.data.collections.cards import Card
from irctl.data.files import made_once
from irctl.data.files.json_records import read_records
from irctl.data.files.lines import line_error, open_unpacked, read_first_line, read_lines, suffix
from irctl.errors import DataError

FORMAT = 2
FIELDS = ("query", "positive", "negative")
NO_PAIRS = (
    "A file as --data holds training pairs, {query, positive, negative?} a record. Passages to encode, compress or "
    "search: a folder with corpus.jsonl, {_id, title?, text} a line. Questions with their contexts: irctl eval --task"
)
"""What to do with a file of other records."""


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
    """(line, query, positive, negative or None). DataError with file:line for other records, null and equal texts."""
    for line, record in _records(path):
        if not {"query", "positive"} <= record.keys():
            raise line_error(path, line, "a record of query and positive", ", ".join(record) or "no field", NO_PAIRS)
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
    yield from read_records(path)


def pairs_layout(path: Path) -> tuple[Card, BeirFolder]:
    """The file as a BEIR folder in the cache: split train, with positives 1 and negatives 0.

    dev.json beside train.json (of any name with `train` in it, that with `dev` for it) is its split dev.
    """
    files = {"train": path, **({"dev": beside} if (beside := _dev_beside(path)) else {})}
    key = made_once.key_of({split: hashing.sha256_file(file) for split, file in files.items()} | {"format": FORMAT})
    folder = made_once.make_once("pairs", key, lambda work: _write(files, work))
    layout = BeirFolder(folder)
    note = "training pairs; scores on them compare with nothing"
    name = path.name.split(".")[0]
    return Card(name=name, headline_split=list(files)[-1], splits=tuple(files), note=note), layout


def _dev_beside(path: Path) -> Path | None:
    """dev.json of train.json; None where there is none."""
    before, word, after = path.name.rpartition("train")
    beside = path.with_name(f"{before}dev{after}")
    return beside if word and beside.is_file() else None


class _Texts:
    """Distinct texts, each written once, under an id of its own."""

    def __init__(self, path: Path, prefix: str) -> None:
        self.ids: dict[str, str] = {}
        self._prefix = prefix
        self._file = path.open("w")

    def add(self, text: str) -> str:
        fingerprint = hashlib.sha256(text.encode()).hexdigest()[:24]
        if fingerprint not in self.ids:
            self.ids[fingerprint] = f"{self._prefix}{len(self.ids)}"
            self._file.write(json.dumps({"_id": self.ids[fingerprint], "text": text}, ensure_ascii=False) + "\n")
        return self.ids[fingerprint]

    def close(self) -> None:
        self._file.close()


def _write(files: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    (folder / "qrels").mkdir()
    with (
        closing(_Texts(folder / "corpus.jsonl", "p")) as passages,
        closing(_Texts(folder / "queries.jsonl", "q")) as queries,
    ):
        grades = {split: _grade(file, queries, passages) for split, file in files.items()}
    for split, of_pair in grades.items():
        with (folder / f"qrels/{split}.tsv").open("w") as qrels:
            qrels.write("query-id\tcorpus-id\tscore\n")
            qrels.writelines(f"{q}\t{p}\t{grade}\n" for (q, p), grade in of_pair.items())
    if not queries.ids:
        raise DataError(f"{files['train']}: expected training pairs (query, positive), found none")
    return {"queries": len(queries.ids), "passages": len(passages.ids)}


def _grade(path: Path, queries: _Texts, passages: _Texts) -> dict[tuple[str, str], int]:
    """Grades of the pairs of a file. Raises DataError for a query that a file before it has: it is trained on."""
    trained, grades = frozenset(queries.ids.values()), dict[tuple[str, str], int]()
    for line, query, positive, negative in read_pairs(path):
        query_id = queries.add(query)
        if query_id in trained:
            raise line_error(path, line, "a query that is not trained on", query)
        for text, grade in ((positive, 1), (negative, 0)):
            if text is not None:
                pair = (query_id, passages.add(text))
                # A negative that is the positive of another pair of the query stays positive.
                grades[pair] = max(grade, grades.get(pair, 0))
    return grades
