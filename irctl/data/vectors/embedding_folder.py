"""The reader of a folder that `irctl encode` wrote: its manifest, and its shards as parts of a stream.

Dimension key: N vectors, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from irctl import hashing, tables
from irctl.data.files import made_once
from irctl.data.vectors.ids import ArrowIds
from irctl.data.vectors.npy import NpyPart
from irctl.data.vectors.parts import VectorPart
from irctl.data.vectors.stream import VectorStream
from irctl.errors import DataError
from irctl.paths import check_inside

FORMAT, VERSION, MANIFEST = "irctl-embeddings", 1, "manifest.json"
SHAPE = {"dim": int, "key_parts?": dict, "parts": [{"file": str, "rows": int, "sha256": str, "ids?": str}]}
AGAIN = "Encode again"


def is_embedding_folder(folder: Path) -> bool:
    """Whether a folder's manifest says so; a torn one says nothing."""
    with suppress(DataError):
        return tables.json_object(folder / MANIFEST).get("format") == FORMAT
    return False


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest; None where there is none. DataError for a torn one, or one of another format or shape."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    manifest = tables.json_object(path, hint=AGAIN)
    if manifest.get("format") != FORMAT:
        raise DataError(f"{path}: expected format {FORMAT}, found {manifest.get('format')}")
    tables.check(manifest, SHAPE, str(path), hint=AGAIN)
    return manifest


def open_parts(folder: Path, manifest: Mapping[str, Any]) -> list[VectorPart]:
    """The shards in row order, [N, D] together. DataError for one that is absent or of another shape than it should be.

    Rows taken here and there of more than a GB are read as they are: hashing it all would cost more than the rest.
    """
    parts: list[VectorPart] = []
    size = sum(int(entry.get("bytes", 0)) for entry in manifest["parts"])
    samples = size <= hashing.WHOLE_UP_TO or hashing.mode() == "full"
    for entry in manifest["parts"]:
        for key in ("file", "ids"):
            if entry.get(key):
                check_inside(entry[key], folder / MANIFEST)
        ids = ArrowIds(folder / entry["ids"], str(entry.get("ids_sha256", ""))) if entry.get("ids") else None
        part = NpyPart(folder / entry["file"], ids, 0, str(entry.get("sha256", "")), samples=samples)
        expected = (int(entry["rows"]), int(manifest["dim"]))
        if (part.rows, part.dim) != expected:
            raise DataError(f"{part.name}: expected {expected}, found {(part.rows, part.dim)}", hint=AGAIN)
        parts.append(part)
    return parts


def open_stream(folder: Path, manifest: Mapping[str, Any]) -> VectorStream:
    """The shards as a stream; the manifest's hashes are its fingerprint, its other keys are what is known of it."""
    about = {k: v for k, v in manifest.items() if k != "parts"}
    fingerprint = made_once.key_of({"parts": [[e["rows"], e["sha256"]] for e in manifest["parts"]]})
    return VectorStream(open_parts(folder, manifest), fingerprint, about)
