"""Judgements as mapped arrays: for each query row, the rows of its documents with their labels (CSR), in file order.

Built once from files and filters, then shared by every process: 8 bytes a judgement and no strings.
Dimension key: T judgements, Q queries that have some.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl import hashing
from irctl.data.files import made_once
from irctl.data.files.lines import line_error
from irctl.data.judgements import qrels_arrays
from irctl.data.judgements.qrels_files import LARGEST_SCORE, Judgement, read_judgements
from irctl.data.texts.store import TextPool
from irctl.files import is_input

MOST_GRADES = 32
"""More different scores than that are no grades."""
BLOCK = 100_000
"""Judgements whose ids are looked up at once."""
FORMAT = 3

Keep = Callable[[str, str, float], bool]
Label = Callable[[str, str, float], float]
"""(query id, document id, raw score) -> whether it stays, or its label."""


@dataclass(frozen=True)
class Selection:
    """What stays of a file and which label it gets. `key` names it in the cache; None: not cached (callables)."""

    key: Mapping[str, Any] | None = field(default_factory=dict)
    subset: frozenset[str] | None = None  # query ids
    keep: Keep | None = None
    rule: str = "the filter"  # what `keep` is, for the count of what it drops
    group: tuple[str, int] | None = None  # (top, bottom or first; k), on raw scores
    regroup: Callable[[dict[str, Any]], dict[str, Any]] | None = None  # whole groups, Python API only
    label: Label | None = None


class QrelsStore:
    """Rows of documents with labels, by query row. `about`: what was read, kept and dropped."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> None:
        # as plain arrays over the same mapped bytes: a slice of a memmap costs ten times as much
        self.query_row_Q: NDArray[np.integer] = np.asarray(arrays["query_row"])  # ascending
        self.indptr: NDArray[np.int64] = np.asarray(arrays["indptr"])
        self.document_row_T: NDArray[np.integer] = np.asarray(arrays["document_row"])
        self.label_T: NDArray[np.float32] = np.asarray(arrays["label"])
        self.about = dict(about)

    @classmethod
    def open(cls, folder: Path) -> QrelsStore:
        arrays = {n: np.load(folder / f"{n}.npy", mmap_mode="r") for n in ARRAYS}
        return cls(arrays, made_once.read_manifest(folder))

    def __len__(self) -> int:
        return len(self.query_row_Q)

    def of(self, query_row: int) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
        """(document rows, labels) of a query, in file order; empty if it has none."""
        # in the array's own type: numpy would convert the whole array to that of a Python number
        place = int(self.query_row_Q.searchsorted(self.query_row_Q.dtype.type(query_row)))
        if place == len(self.query_row_Q) or self.query_row_Q[place] != query_row:
            return self.document_row_T[:0], self.label_T[:0]
        start, stop = self.indptr[place : place + 2].tolist()
        return self.document_row_T[start:stop], self.label_T[start:stop]

    def without(self, drop_T: NDArray[np.bool_], reason: str) -> QrelsStore:
        """The store without some judgements; `about` says how many and why. In memory, not mapped."""
        place_T = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        counts_Q = np.bincount(place_T[~drop_T], minlength=len(self))
        left_Q, label_T = counts_Q > 0, self.label_T[~drop_T]
        arrays = {
            "query_row": self.query_row_Q[left_Q],
            "indptr": np.r_[0, np.cumsum(counts_Q[left_Q])].astype(np.int64),
            "document_row": self.document_row_T[~drop_T],
            "label": label_T,
        }
        dropped = [*self.about["dropped"], [reason, int(drop_T.sum())]]
        key = hashlib.sha256(f"{self.about['key']} without {reason}".encode()).hexdigest()
        return QrelsStore(
            arrays, {**self.about, **_of_labels(label_T, len(arrays["query_row"])), "dropped": dropped, "key": key}
        )


ARRAYS = ("query_row", "indptr", "document_row", "label")


def open_qrels(files: Sequence[Path], queries: TextPool, passages: TextPool, selection: Selection) -> QrelsStore:
    """The store of these files, made once for files, texts and selection of this content.

    Raises DataError with file:line for an id that is not among the queries or passages.
    """
    for file in files:
        is_input(file)
    if selection.key is None:
        arrays, about = _build(files, queries, passages, selection)
        content = hashlib.sha256()
        for name in ARRAYS:
            content.update(np.ascontiguousarray(arrays[name]).tobytes())
        return QrelsStore(arrays, {**about, "key": content.hexdigest()})
    key = made_once.key_of(
        {
            "files": [hashing.sha256_file(f) for f in files],
            "queries": [s.namespace for s in queries.stores],
            "passages": [s.namespace for s in passages.stores],
            "selection": dict(selection.key),
            "format": FORMAT,
        }
    )

    def make(folder: Path) -> dict[str, Any]:
        arrays, about = _build(files, queries, passages, selection)
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", arrays[name], allow_pickle=False)
        return {**about, "key": key}

    return QrelsStore.open(made_once.make_once("qrels", key, make))


def _build(
    files: Sequence[Path], queries: TextPool, passages: TextPool, selection: Selection
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    columns = _Columns()
    for path in files:
        judgements = read_judgements(path)
        while block := list(islice(judgements, BLOCK)):
            columns.add(path, block, queries, passages, selection)
    arrays, dropped = columns.sorted(), columns.dropped

    def note(reason: str, before: int) -> None:
        dropped[reason] += before - len(arrays["label"])

    if selection.group is not None:
        total, (which, k) = len(arrays["label"]), selection.group
        arrays = qrels_arrays.keep_k_of_each(arrays, which, k)
        note(f"group_{which}_k {k}", total)
    if selection.regroup is not None:
        total = len(arrays["label"])
        arrays = qrels_arrays.filter_groups(arrays, queries, passages, selection.regroup)
        note("group_filter_fn", total)
    total = len(arrays["label"])
    arrays = qrels_arrays.keep_last_of_each_pair(arrays)
    note("listed again, the last label counts", total)
    query_row_T = arrays["query"]
    starts = np.flatnonzero(np.r_[True, query_row_T[1:] != query_row_T[:-1]]) if len(query_row_T) else np.zeros(0, int)
    about = {
        "files": [str(f) for f in files],
        "read": _counts(columns.before),
        "dropped": [[reason, n] for reason, n in dropped.items() if n],  # in the order of the rules
        **_of_labels(arrays["label"], len(starts)),
    }
    return {
        "query_row": query_row_T[starts],
        "indptr": np.r_[starts, len(query_row_T)].astype(np.int64),
        "document_row": arrays["document"],
        "label": arrays["label"],
    }, about


def _of_labels(label_T: NDArray[np.float32], queries: int) -> dict[str, Any]:
    return {
        "kept": _counts(Counter(f"{v:g}" for v in label_T.tolist())),
        "largest": float(label_T.max()) if queries else 0.0,
        "lowest": float(label_T.min()) if queries else 0.0,
        "whole": bool((label_T == np.trunc(label_T)).all()),
        "queries": queries,
    }


class _Columns:
    """Judgements as growing typed arrays: 16 bytes each while building."""

    def __init__(self) -> None:
        self.query, self.document, self.score, self.label = array("q"), array("q"), array("f"), array("f")
        self.before: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()  # by reason

    def add(
        self, path: Path, block: list[Judgement], queries: TextPool, passages: TextPool, selection: Selection
    ) -> None:
        self.before.update(f"{j.score:g}" for j in block)
        subset, keep = selection.subset, selection.keep
        if subset is not None:
            total, block = len(block), [j for j in block if j.query_id in subset]
            self.dropped["query_subset_path"] += total - len(block)
        if keep is not None:
            total, block = len(block), [j for j in block if keep(j.query_id, j.document_id, j.score)]
            self.dropped[selection.rule] += total - len(block)
        query_rows = _rows(path, block, [j.query_id for j in block], queries, "query")
        document_rows = _rows(path, block, [j.document_id for j in block], passages, "passage")
        self.query.extend(query_rows.tolist())
        self.document.extend(document_rows.tolist())
        self.score.extend(j.score for j in block)
        name = selection.label
        self.label.extend((_label(path, j, name) for j in block) if name else (j.score for j in block))

    def sorted(self) -> dict[str, NDArray[Any]]:
        """Arrays ordered by query row, file order within a query."""
        query_T = np.frombuffer(self.query, dtype=np.int64) if self.query else np.zeros(0, np.int64)
        order_T = np.argsort(query_T, kind="stable")

        def column(values: array[Any], dtype: Any) -> NDArray[Any]:
            return (np.frombuffer(values, dtype=dtype) if values else np.zeros(0, dtype))[order_T]

        small = max(self.document, default=0) < 2**31
        return {
            "query": query_T[order_T].astype(np.int32 if max(self.query, default=0) < 2**31 else np.int64),
            "document": column(self.document, np.int64).astype(np.int32 if small else np.int64),
            "score": column(self.score, np.float32),
            "label": column(self.label, np.float32),
        }


def _label(path: Path, judgement: Judgement, label: Label) -> float:
    value = label(judgement.query_id, judgement.document_id, judgement.score)
    if not isinstance(value, (int, float)) or not abs(value) <= LARGEST_SCORE:  # not a number neither
        raise line_error(path, judgement.line, "a number as label (up to 3.4e38)", value)
    return float(value)


def _rows(path: Path, block: list[Judgement], ids: list[str], pool: TextPool, kind: str) -> NDArray[np.int64]:
    names = list(dict.fromkeys(ids))
    rows = dict(zip(names, pool.find(names).tolist(), strict=True))
    missing = next((i for i, name in enumerate(ids) if rows[name] < 0), None)
    if missing is not None:
        count = sum(r < 0 for r in rows.values())
        where = ", ".join(s.source for s in pool.stores) or "no file"
        hint = f"{count} such ids in this part of the file; texts from {where}"
        raise line_error(path, block[missing].line, f"a {kind} id with a text", f"'{ids[missing]}'", hint)
    return np.fromiter((rows[name] for name in ids), np.int64, len(ids))


def _counts(values: Counter[str]) -> dict[str, int]:
    """How often each score occurs; teacher scores, all different, as one range."""
    ordered = sorted(values, key=float)
    if len(ordered) > MOST_GRADES:
        return {f"{ordered[0]} to {ordered[-1]}": values.total()}
    return {v: values[v] for v in ordered}
