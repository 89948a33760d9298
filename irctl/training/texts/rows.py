"""The rows of a training on texts: files as token ids, what is held out of them, and how many of each are taken."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl import hashing
from irctl.data.contexts import mixture, recall_files, released
from irctl.data.contexts.mixture import Share
from irctl.data.contexts.prompts import Words
from irctl.data.contexts.rows import Row, TextRow, read_rows
from irctl.data.contexts.split import Split, split_row
from irctl.data.contexts.stored import StoredRows, store
from irctl.data.files import hub
from irctl.data.files.lines import stem
from irctl.errors import ConfigError, DataError
from irctl.files import expand
from irctl.models.fingerprints import fingerprint_tokenizer
from irctl.training.texts.settings import Compression, least_tokens

MOST_HELD_OUT = 500


@dataclass(frozen=True)
class RowPlan:
    """Rows by (file, row): those trained on, in order, and those that the loss is measured on.

    starts_U: of those trained on, where each unit begins that is one sample; none: each row is.
    """

    stored: tuple[StoredRows, ...]
    shares: tuple[Share, ...]
    taken_N2: NDArray[np.int64]
    held_out_M2: NDArray[np.int64]
    starts_U: NDArray[np.int64] | None = None

    @property
    def units(self) -> int:
        """Samples of an epoch."""
        return len(self.taken_N2) if self.starts_U is None else len(self.starts_U)

    def unit(self, number: int) -> list[list[int]]:
        """(file, row) of each row of a sample."""
        if self.starts_U is None:
            return [self.taken_N2[number].tolist()]
        start, *rest = self.starts_U[number : number + 2].tolist()
        rows: list[list[int]] = self.taken_N2[start : rest[0] if rest else None].tolist()
        return rows

    @property
    def fingerprint(self) -> str:
        """Of all rows in their order, and of what is held out: what a checkpoint must agree with."""
        parts = [s.fingerprint.encode() for s in self.stored]
        parts += [rows.tobytes() for rows in (self.taken_N2, self.held_out_M2, self.starts_U) if rows is not None]
        return hashlib.sha256(b"".join(parts)).hexdigest()


def find_files(settings: Compression, root: str) -> list[Path]:
    """The files that acerag.data_files names. Raises ConfigError for none, DataError for one that is not here."""
    if not settings.files:
        raise ConfigError(
            "acerag.data_files: names no file",
            hint="--set acerag.data_files=a.json,b.json, or recall (made from a seed)",
        )
    of_release = [name for name in settings.files if released.is_of(name)]
    known = dict(zip(of_release, released.find(of_release, root), strict=True))
    found = []
    for name in settings.files:
        path = known.get(name) or recall_files.find(name)
        path = path or (hub.find_file(name, root) if hub.is_hub(name) else expand(name))
        if not path.is_file():
            raise DataError(f"acerag.data_files: {name}: no such file")
        found.append(path)
    stems = [stem(p) for p in found]
    if len(set(stems)) != len(stems):
        twice = next(s for s in stems if stems.count(s) > 1)
        raise ConfigError(f"acerag.data_files: two files are named {twice}, which is the data set's name")
    return found


def open_rows(
    files: Sequence[Path], tokenizer: Any, words: Words, *, stage: str, chat_template: bool
) -> tuple[StoredRows, ...]:
    """The files as token ids; made on the first call. Raises DataError for a row that the stage does not take."""
    return tuple(_open_file(path, tokenizer, words, stage, chat_template) for path in files)


def plan_rows(stored: Sequence[StoredRows], settings: Compression, seed: int) -> RowPlan:
    """What is held out, by the hash of content; then each file filtered, and cut or repeated to its target."""
    own = settings.own
    least, most = least_tokens(own), own.max_tokens or None
    is_fit = [~np.logical_or(*mixture.out_of_limits(s.lengths_N, least, most)) for s in stored]
    held_out = _held_out(stored, is_fit, own.held_out)
    wanted = mixture.targets(len(stored), own.rows_per_file, settings.splits)
    shares = tuple(
        mixture.take(s.dataset, s.lengths_N, target, min_tokens=least, max_tokens=most, seed=seed, is_left_out_N=apart)
        for s, target, apart in zip(stored, wanted, held_out, strict=True)
    )
    taken = [np.stack([np.full(len(s.taken_N), i), s.taken_N], axis=1) for i, s in enumerate(shares)]
    apart_M2 = [np.stack([np.full(int(a.sum()), i), np.flatnonzero(a)], axis=1) for i, a in enumerate(held_out)]
    taken_N2, starts_U = np.concatenate(taken), None
    if own.by_context:
        taken_N2, starts_U = _by_context(stored, taken_N2)
    return RowPlan(tuple(stored), shares, taken_N2, np.concatenate(apart_M2)[:MOST_HELD_OUT], starts_U)


def _by_context(
    stored: Sequence[StoredRows], taken_N2: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows with those of one file and context after each other, and where each context's begin [U]."""
    groups_N = np.array([int(stored[file].groups_N[row]) for file, row in taken_N2.tolist()], dtype=np.uint64)
    order_N = np.lexsort((groups_N, taken_N2[:, 0]))
    files_N, groups_N = taken_N2[order_N, 0], groups_N[order_N]
    is_new_N = np.append(True, (np.diff(files_N) != 0) | (groups_N[1:] != groups_N[:-1]))
    return taken_N2[order_N], np.flatnonzero(is_new_N)


def _held_out(
    stored: Sequence[StoredRows], is_fit: Sequence[NDArray[np.bool_]], share: float
) -> list[NDArray[np.bool_]]:
    """Rows held out of each file: whole contexts, in the order of their hashes, until there are enough."""
    groups = np.concatenate([s.groups_N[fit] for s, fit in zip(stored, is_fit, strict=True)])
    wanted = min(MOST_HELD_OUT, int(np.ceil(share * len(groups)))) if share else 0
    hashes, counts = np.unique(groups, return_counts=True)
    chosen = hashes[: int(np.searchsorted(np.cumsum(counts), wanted) + 1)] if wanted else hashes[:0]
    if wanted and len(chosen) == len(hashes):  # one context is all there is: nothing would be left to train on
        chosen = hashes[:0]
    return [np.isin(s.groups_N, chosen) & fit for s, fit in zip(stored, is_fit, strict=True)]


def _open_file(path: Path, tokenizer: Any, words: Words, stage: str, chat_template: bool) -> StoredRows:
    key = {
        "file": hashing.identity(path),
        "name": stem(path),
        "tokenizer": fingerprint_tokenizer(tokenizer),
        "template": getattr(tokenizer, "chat_template", None) if chat_template else None,
        "stage": stage,
        "words": {"instruction": words.instruction(stem(path)), "question": words.ask(stem(path), "")},
    }

    def rows() -> Iterator[tuple[Row, Split]]:
        for row in read_rows(path, words):
            if isinstance(row, TextRow) != (stage == "pt"):
                expected = "text" if stage == "pt" else "a prompt with a context"
                raise DataError(f"{path}:{row.line}: stage {stage} trains on rows of {expected}, found the other kind")
            yield row, _split(tokenizer, row, chat_template)

    return store(key, stem(path), rows)


def _split(tokenizer: Any, row: Row, chat_template: bool) -> Split:
    if isinstance(row, TextRow):
        ids: list[int] = tokenizer(row.text)["input_ids"]
        return Split((), tuple(ids), (), ())
    return split_row(tokenizer, row, chat_template=chat_template)
