"""A MS MARCO passage folder: collection.tsv, queries.SPLIT.tsv, qrels.SPLIT.tsv and the TREC Deep Learning files.

Split `dev` is the 6,980 queries of dev.small where that file is there, since published numbers are on them; the 101,093
are then `dev.full`. RepCONC's names are read too: corpus.tsv, query.SPLIT, qrels.SPLIT.
"""

from __future__ import annotations

from pathlib import Path

from irctl.data.collections.beir import find_in_folder, order_splits
from irctl.data.texts.store import TextStore, open_texts
from irctl.errors import DataError

TRACKS = {
    "trec19": ("msmarco-test2019-queries.tsv", "2019qrels-pass.txt"),
    "trec20": ("msmarco-test2020-queries.tsv", "2020qrels-pass.txt"),
}


class MsMarcoFolder:
    """Where the files of a MS MARCO folder are."""

    format = "msmarco"

    def __init__(self, folder: Path, *, fix_encoding: bool = False) -> None:
        self.folder = folder
        self._fix_encoding = fix_encoding

    @staticmethod
    def is_one(folder: Path) -> bool:
        return find_in_folder(folder, "collection.tsv", "corpus.tsv") is not None

    @property
    def corpus_file(self) -> Path:
        path = find_in_folder(self.folder, "collection.tsv", "corpus.tsv")
        if path is None:
            raise DataError.of(self.folder, "no collection.tsv", hint="irctl data fetch msmarco")
        return path

    def corpus(self) -> TextStore:
        return open_texts(self.corpus_file, fix_encoding=self._fix_encoding)

    def queries(self, split: str) -> TextStore:
        return open_texts(self.query_file(split), fix_encoding=self._fix_encoding)

    def splits(self) -> tuple[str, ...]:
        """Splits with judgements."""
        on_disk = {self._split_of(p) for p in self.folder.glob("qrels.*")}
        named = {"dev" if s == "dev.small" else "dev.full" if s == "dev" and self._has_small() else s for s in on_disk}
        tracks = {t for t, (_, qrels) in TRACKS.items() if find_in_folder(self.folder, qrels)}
        return order_splits(list(named | tracks))

    def _split_of(self, path: Path) -> str:
        return path.name.removesuffix(".gz").removesuffix(".tsv").split(".", 1)[1]

    def _has_small(self) -> bool:
        return find_in_folder(self.folder, "qrels.dev.small.tsv", "qrels.dev.small") is not None

    def _on_disk(self, split: str) -> str:
        if split == "dev" and self._has_small():
            return "dev.small"
        return "dev" if split == "dev.full" else split

    def query_file(self, split: str) -> Path:
        name = self._on_disk(split)
        return self._file(TRACKS[split][:1] if split in TRACKS else (f"queries.{name}.tsv", f"query.{name}"), split)

    def qrels_file(self, split: str) -> Path:
        name = self._on_disk(split)
        return self._file(TRACKS[split][1:] if split in TRACKS else (f"qrels.{name}.tsv", f"qrels.{name}"), split)

    def _file(self, names: tuple[str, ...], split: str) -> Path:
        path = find_in_folder(self.folder, *names)
        if path is None:
            raise DataError.of(
                self.folder, f"no {names[0]} for split {split}", hint=f"Splits here: {', '.join(self.splits())}"
            )
        return path
