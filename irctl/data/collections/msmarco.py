"""A MS MARCO passage folder: collection.tsv, queries.SPLIT.tsv, qrels.SPLIT.tsv and the TREC Deep Learning files.

Split `dev` is the 6,980 queries of dev.small where that file is there, since published numbers are on them; the 101,093
are then `dev.full`. Read too: RepCONC's corpus.tsv, query.SPLIT, qrels.SPLIT, and Anserini's qrels.SPLIT.txt with
topics.SPLIT.txt, where qrels.dl19.txt and qrels.dl19-passage.txt are the split dl19, and so on.
"""

from __future__ import annotations

import re
from pathlib import Path

from irctl.data.collections.beir import find_in_folder, order_splits
from irctl.data.texts.store import TextStore, open_texts
from irctl.errors import DataError

TRACKS = {
    "trec19": ("msmarco-test2019-queries.tsv", "2019qrels-pass.txt"),
    "trec20": ("msmarco-test2020-queries.tsv", "2020qrels-pass.txt"),
}


ENDS = (".tsv", "", ".txt")
QUERY_FILES = ("queries", "query", "topics")
TRACK = re.compile(r"(?P<track>dl(?P<year>\d\d))(-passage)?")
TRACK_MEASURES, TRACK_TOP_GRADE = "trec-dl", 3
"""Of TREC Deep Learning on passages."""


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
        on_disk = {split for p in self.folder.glob("qrels.*") if (split := self._split_of(p))}
        named = {"dev" if s == "dev.small" else "dev.full" if s == "dev" and self._has_small() else s for s in on_disk}
        tracks = {t for t, (_, qrels) in TRACKS.items() if find_in_folder(self.folder, qrels)}
        return order_splits(list(named | tracks))

    def tracks(self) -> tuple[str, ...]:
        """Splits that are TREC Deep Learning's on passages, whose binary measures take grade >= 2."""
        return tuple(s for s in self.splits() if s in TRACKS or TRACK.fullmatch(s))

    def _split_of(self, path: Path) -> str:
        name = path.name.removesuffix(".gz").removesuffix(".tsv").removesuffix(".txt").partition(".")[2]
        return found["track"] if (found := TRACK.fullmatch(name)) else name

    def _has_small(self) -> bool:
        return find_in_folder(self.folder, *_names(("qrels",), "dev.small")) is not None

    def _on_disk(self, split: str) -> str:
        if split == "dev" and self._has_small():
            return "dev.small"
        return "dev" if split == "dev.full" else split

    def query_file(self, split: str) -> Path:
        if split in TRACKS:
            return self._file(TRACKS[split][:1], split)
        track = TRACK.fullmatch(split)
        of_track = TRACKS.get(f"trec{track['year']}", ())[:1] if track else ()
        return self._file((*_names(QUERY_FILES, self._on_disk(split)), *of_track), split)

    def qrels_file(self, split: str) -> Path:
        if split in TRACKS:
            return self._file(TRACKS[split][1:], split)
        names = _names(("qrels",), self._on_disk(split))
        found: dict[Path, Path] = {}  # by what it is: a link and its file are one
        for path in filter(None, (find_in_folder(self.folder, n) for n in names)):
            found.setdefault(path.resolve(), path)
        if split == "dev.full":  # RepCONC links qrels.dev to the file of dev.small
            found.pop(self.qrels_file("dev").resolve(), None)
        if len(found) > 1:
            shown = ", ".join(p.name for p in found.values())
            raise DataError.of(
                self.folder, f"{len(found)} files of judgements for split {split}: {shown}", hint="Keep one"
            )
        return next(iter(found.values()), None) or self._file(names, split)

    def _file(self, names: tuple[str, ...], split: str) -> Path:
        path = find_in_folder(self.folder, *names)
        if path is None:
            raise DataError.of(
                self.folder, f"no {names[0]} for split {split}", hint=f"Splits here: {', '.join(self.splits())}"
            )
        return path


def _names(kinds: tuple[str, ...], split: str) -> tuple[str, ...]:
    """Names that the file of a split may have, the usual one first."""
    stems = (split, f"{split}-passage") if TRACK.fullmatch(split) else (split,)
    return tuple(f"{kind}.{stem}{end}" for kind in kinds for stem in stems for end in ENDS)
