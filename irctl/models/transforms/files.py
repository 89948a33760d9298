"""A fitted transform on disk: one .npy a named array, transform.json last, as a trained quantizer lies there.

The sha256 of transform.json covers every array, so it names the transform. With the means lie hashes of the queries
that gave the query side its own, so that nobody measures with them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl import hashing, tables
from irctl.errors import DataError
from irctl.files import write_atomic
from irctl.index import shards
from irctl.index.bundle import Bundle
from irctl.ledger import damaged
from irctl.models.transforms.affine import AffineTransform

FORMAT, VERSION, FILE = "irctl-transform", 1, "transform.json"
FOLDER = "transform"
"""Its name in a bundle or a folder of vectors."""
ARRAYS = ("mean", "matrix", "query_mean", "query_matrix")
_QUERIES = "query_hashes"
SHAPE = {
    "settings": {"name": str},
    "key": str,
    "unit": bool,
    "query_mean_of": str,
    "arrays": {name: {"sha256": str} for name in (*ARRAYS, _QUERIES)},
}
SHOWN = 12
"""Characters of a file's hash that `query_mean_of` ends in, where queries are of a file; no other words end in so many.
"""
_FILE = re.compile(rf" (\S{{{SHOWN}}})$")
_AGAIN = "Copy the whole folder, or fit it again"


@dataclass(frozen=True)
class FittedTransform:
    """A transform with what it was made of.

    key: hash of vectors, queries and settings that it was fitted on. query_mean_of: whose mean the query side has, in
    words. query_hashes: of the texts or vectors that gave it (`hash_texts`, `hash_vectors`), sorted; none where no
    query did.
    """

    transform: AffineTransform
    key: str
    query_mean_of: str
    query_hashes: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))

    @property
    def label(self) -> str:
        """What tells it from others on any corpus: how it was asked for, and the file of its queries, if one was."""
        file = _FILE.search(self.query_mean_of)
        return label(self.transform.label, file[1] if file else "")

    def gave_mean(self, hashes_Q: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which queries are among those that gave the query mean."""
        found: NDArray[np.bool_] = np.isin(hashes_Q, self.query_hashes)
        return found


def label(of_settings: str, queries: str) -> str:
    """The label of settings, with the file that the mean of queries is of. queries: its hash; empty without one."""
    return f"{of_settings} queries={queries[:SHOWN]}" if queries else of_settings


def hash_texts(texts: Iterable[str]) -> NDArray[np.uint64]:
    """Eight bytes a text: the same query under another id is the same query."""
    return _hash(text.strip().encode() for text in texts)


def hash_vectors(x_QD: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Eight bytes a vector."""
    return _hash(row.tobytes() for row in np.ascontiguousarray(x_QD, np.float32))


def _hash(contents: Iterable[bytes]) -> NDArray[np.uint64]:
    digests = [hashlib.blake2b(content, digest_size=8).digest() for content in contents]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def save(folder: Path, fitted: FittedTransform) -> dict[str, Any]:
    """Write the arrays, then transform.json; returns what stands in it."""
    transform = fitted.transform
    arrays: Sequence[NDArray[Any]] = (
        transform.mean_D,
        transform.matrix_DE,
        transform.query_mean_D,
        transform.query_matrix_DE,
        fitted.query_hashes,
    )
    described = {}
    for name, array in zip((*ARRAYS, _QUERIES), arrays, strict=True):
        written = write_atomic(folder / f"{name}.npy", np.ascontiguousarray(array))
        described[name] = {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": written.sha256}
    about = {
        "format": FORMAT,
        "version": VERSION,
        "settings": dict(transform.settings),
        "key": fitted.key,
        "unit": transform.unit,
        "query_mean_of": fitted.query_mean_of,
        "rule": "documents: (x - mean) matrix; queries: (x - query_mean) query_matrix; unit: then to length 1",
        "arrays": described,
    }
    shards.write_json(folder / FILE, about)
    return about


def load(folder: Path, expected: str = "") -> FittedTransform:
    """The transform of a folder, hashes checked. expected: sha256 of transform.json, where it is known. DataError."""
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"{folder}: no {FILE}, so no fitted transform", hint=_AGAIN)
    if expected and (found := hashing.compute_sha256(path)) != expected:
        raise damaged.error(path, expected, found, _AGAIN)
    about = tables.json_object(path, hint=_AGAIN)
    if (about.get("format"), about.get("version")) != (FORMAT, VERSION):
        raise DataError(f"{path}: expected format {FORMAT} version {VERSION}")
    tables.check(about, SHAPE, str(path), hint=_AGAIN)
    mean, matrix, query_mean, query_matrix, hashes = (
        _read_array(folder / f"{name}.npy", about["arrays"][name]["sha256"]) for name in (*ARRAYS, _QUERIES)
    )
    transform = AffineTransform(dict(about["settings"]), mean, matrix, query_mean, query_matrix, bool(about["unit"]))
    return FittedTransform(transform, about["key"], about["query_mean_of"], hashes)


def of_bundle(bundle: Bundle) -> FittedTransform | None:
    """The transform whose rows a bundle's codes are; None where they are of vectors as they came."""
    described = bundle.manifest.get("transform")
    return load(bundle.folder / described["folder"], described["sha256"]) if described else None


def _read_array(path: Path, expected: str) -> NDArray[Any]:
    if not path.is_file():
        raise DataError(f"{path}: missing, though {FILE} names it", hint=_AGAIN)
    if (found := hashing.compute_sha256(path)) != expected:
        raise damaged.error(path, expected, found, _AGAIN, path.with_name(FILE))
    array: NDArray[Any] = np.load(path, allow_pickle=False)
    return array
