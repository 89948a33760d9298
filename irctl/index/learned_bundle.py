"""Writing the bundle of a training: its parent's codes and ids, linked, with a quantizer that has a query side.

Codes are those of the parent, byte for byte, unless they are asked to be made anew. The folder appears whole or not at
all; its parent may be removed afterwards.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl import files, hashing
from irctl.errors import DataError
from irctl.index import shards
from irctl.index.bundle import Bundle, is_bundle, locate_quantizer, write_bundle

METHOD, ENCODER = "learned", "query_encoder"
Encode = Callable[[int, int], NDArray[np.uint8]]
_OWN = ("format", "version", "method", "dim", "code_size", "metric", "rows", "parts", "quantizer", "bytes_per_row")
"""Keys of a manifest that `write_bundle` writes itself."""
_OTHERS = ("plan", "train_rows", ENCODER, "parent")
"""Keys of the parent that are not true of its child."""


def write_learned(
    folder: Path,
    parent: Bundle,
    quantizer: Any,
    *,
    about: Mapping[str, Any],
    query_encoder: Path | None = None,
    encode: Encode | None = None,
) -> str:
    """Write the bundle; the sha256 of its manifest. A bundle that is there already is replaced.

    quantizer: of quantizers/learned.py, with the parent's document side (else its codes would mean nothing).
    encode: makes codes anew, of rows start .. stop, by a quantizer of another document side; None: the parent's stay.
    about: beside what the parent's manifest says; `trained` = {method, run, loss, query}. query_encoder: the folder of
    the encoder that queries are to be encoded by, copied into the bundle; None: that of the documents.
    Raises DataError for a quantizer of other codes, damaged codes, and a folder that holds something else.
    """
    sizes = (quantizer.dim, quantizer.code_size, quantizer.metric)
    if sizes != (parent.dim, parent.code_size, parent.metric):
        raise DataError(
            f"{parent.folder}: holds codes of (dimensions, bytes, metric) = "
            f"{(parent.dim, parent.code_size, parent.metric)}, the trained quantizer makes {sizes}"
        )
    if folder.exists() and not is_bundle(folder) and any(folder.iterdir()):
        raise DataError(f"{folder}: is not empty and holds no bundle", hint="Choose another folder")
    parent.check()
    staged = folder.with_name(f".{folder.name}.tmp.{os.getpid()}")
    for left in folder.parent.glob(f".{folder.name}.tmp.*"):  # of one that was killed
        shutil.rmtree(left, ignore_errors=True)
    staged.mkdir(parents=True)
    parts = [dict(part) for part in parent.parts]
    for part in parts:
        for name, _, _ in shards.list_files(part):
            if encode is None or name != part["file"]:
                link(parent.folder / name, staged / name)
        if encode is not None:
            codes_NC = encode(int(part["row0"]), int(part["row0"]) + int(part["rows"]))
            part |= files.write_atomic(staged / part["file"], codes_NC)._asdict()
    if transform := parent.manifest.get("transform"):
        shutil.copytree(parent.folder / transform["folder"], staged / transform["folder"])
    where = locate_quantizer(staged, METHOD)
    quantizer.save(where)
    more = {k: v for k, v in parent.manifest.items() if k not in (*_OWN, *_OTHERS)}
    more |= {"about": {**parent.manifest.get("about", {}), **about}, "settings": asdict(quantizer.config)}
    more["parent"] = {"method": parent.method, "manifest": parent.fingerprint}
    if query_encoder is not None:
        shutil.copytree(query_encoder, staged / ENCODER)
    more |= describe_encoder(staged)
    sha256 = write_bundle(
        staged,
        method=METHOD,
        dim=parent.dim,
        code_size=parent.code_size,
        metric=parent.metric,
        parts=parts,
        quantizer=where,
        **more,
    )
    shutil.rmtree(folder, ignore_errors=True)
    staged.rename(folder)
    return sha256


def describe_encoder(folder: Path) -> dict[str, Any]:
    """What the manifest of a bundle in this folder says of the query encoder in it; nothing where there is none."""
    if not (folder / ENCODER).is_dir():
        return {}
    return {ENCODER: {"folder": ENCODER, "fingerprint": fingerprint_folder(folder / ENCODER)}}


def find_encoder(bundle: Bundle) -> Path | None:
    """The query encoder that a bundle holds; None where its queries are encoded as its documents.

    Raises DataError where it is missing, or not the one whose vectors the query-side centroids were trained for.
    """
    own = bundle.manifest.get(ENCODER)
    if own is None:
        return None
    folder = bundle.folder / str(own["folder"])
    found = fingerprint_folder(folder) if folder.is_dir() else "no folder"
    if found != own["fingerprint"]:
        raise DataError(
            f"{folder}: expected the query encoder of fingerprint {own['fingerprint'][:12]}, found {found[:12]}",
            hint="Its query centroids mean nothing to another: copy the whole bundle again",
        )
    return folder


def copy_encoder(source: Path, folder: Path) -> None:
    """The query encoder of one bundle into the folder of another that is searched by the same query side."""
    if (source / ENCODER).is_dir() and not (folder / ENCODER).is_dir():
        staged = folder / f".{ENCODER}.tmp.{os.getpid()}"
        shutil.rmtree(staged, ignore_errors=True)
        shutil.copytree(source / ENCODER, staged)
        staged.rename(folder / ENCODER)


def link(source: Path, target: Path) -> None:
    """A hard link to a finished file; a copy where the file system has none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


CARD = "README.md"  # of a model, for people: a training's folder has one, the copy in its bundle none


def are_copies(one: Path, other: Path) -> bool:
    """Whether two folders hold the same model, whatever is written about it."""
    return fingerprint_folder(one, without=CARD) == fingerprint_folder(other, without=CARD)


def fingerprint_folder(folder: Path, without: str = "") -> str:
    """sha256 of the names and bytes of all files below it: what a bundle knows its query encoder by.

    without: the name of a file that does not count.
    """
    files = [file for file in hashing.files_below(folder) if file.name != without]
    return fingerprint_files({file.relative_to(folder).as_posix(): hashing.sha256_file(file) for file in files})


def fingerprint_files(files: Mapping[str, str]) -> str:
    """The same of files by name with their sha256, in the order in which a folder lists them."""
    tree = hashlib.sha256()
    for name, sha256 in files.items():
        tree.update(f"{name}\0{sha256}\n".encode())
    return tree.hexdigest()
