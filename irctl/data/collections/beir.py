"""A BEIR folder: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv, each plain or gzip."""

from __future__ import annotations

import shlex
from pathlib import Path

from irctl.data.files.lines import stem
from irctl.data.texts.store import TextStore, open_texts
from irctl.errors import DataError

FIRST = ("train", "dev", "test")
"""Order of the usual splits; others follow by name."""


def find_in_folder(folder: Path, *names: str) -> Path | None:
    """The first of these files that is there, plain or as .gz."""
    candidates = (folder / f"{name}{end}" for name in names for end in ("", ".gz"))
    return next((p for p in candidates if p.is_file()), None)


def order_splits(splits: list[str]) -> tuple[str, ...]:
    """Split names, the usual ones first."""
    return tuple(sorted(splits, key=lambda s: (FIRST.index(s) if s in FIRST else len(FIRST), s)))


class BeirFolder:
    """Where the files of a BEIR folder are."""

    format = "beir"

    def __init__(self, folder: Path, *, fix_encoding: bool = False) -> None:
        self.folder = folder
        self._fix_encoding = fix_encoding

    @staticmethod
    def is_one(folder: Path) -> bool:
        return find_in_folder(folder, "corpus.jsonl", "corpus.parquet") is not None

    def _file(self, *names: str) -> Path:
        path = find_in_folder(self.folder, *names)
        if path is None:
            raise DataError.of(
                self.folder, f"no {names[0]} or {names[0]}.gz", hint=f"irctl data check {shlex.quote(str(self.folder))}"
            )
        return path

    @property
    def corpus_file(self) -> Path:
        return self._file("corpus.jsonl", "corpus.parquet")

    def query_file(self, split: str) -> Path:
        return self._file("queries.jsonl", "queries.parquet")

    def corpus(self) -> TextStore:
        return open_texts(self.corpus_file, fix_encoding=self._fix_encoding)

    def queries(self, split: str) -> TextStore:
        return open_texts(self.query_file(split), fix_encoding=self._fix_encoding)

    def splits(self) -> tuple[str, ...]:
        files = [*self.folder.glob("qrels/*.tsv"), *self.folder.glob("qrels/*.tsv.gz")]
        return order_splits(list({stem(p) for p in files}))

    def qrels_file(self, split: str) -> Path:
        return self._file(f"qrels/{split}.tsv")
