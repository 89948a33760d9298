"""Where outputs may lie: not below a Slurm job's TMPDIR, deleted when the job ends, nor among vectors and collections.

Caches may lie in TMPDIR.
"""

from __future__ import annotations

import os
from pathlib import Path

from irctl.data.collections.beir import BeirFolder
from irctl.data.collections.msmarco import MsMarcoFolder
from irctl.data.vectors.embedding_folder import MANIFEST, is_embedding_folder
from irctl.data.vectors.npy import NpyPart
from irctl.errors import ConfigError, DataError
from irctl.index import plan

ANOTHER = "Choose another --out"


def check(folder: Path, *, hint: str = ANOTHER, may_hold_embeddings: bool = False) -> None:
    """ConfigError for an output that would be deleted with the job's TMPDIR, or would make its input unreadable.

    DataError for a collection, which would be taken for vectors or codes.

    may_hold_embeddings: for the command that writes embedding folders, which goes on in one. To others it is an input.
    """
    tmp = os.environ.get("TMPDIR", "")
    if tmp and "SLURM_JOB_ID" in os.environ and folder.resolve().is_relative_to(Path(tmp).resolve()):
        raise ConfigError(f"{folder}: lies below TMPDIR, which is deleted when the job ends", hint=hint)
    if BeirFolder.is_one(folder) or MsMarcoFolder.is_one(folder):
        raise DataError(f"{folder}: expected a folder for outputs, found a collection there", hint=hint)
    name = _find_vectors(folder)
    if name and not (may_hold_embeddings and name == MANIFEST):
        raise ConfigError(
            f"{folder}: expected a folder for outputs, found vectors there ({name}), which would be no input any more",
            hint=hint,
        )


def _find_vectors(folder: Path) -> str:
    """The file that makes a folder one of vectors; empty where none does, or where a compression has begun."""
    if is_embedding_folder(folder):
        return MANIFEST
    if not folder.is_dir() or (folder / plan.FILE).is_file():
        return ""
    files = [p for p in sorted(folder.iterdir()) if p.suffix == ".parquet" or (p.suffix == ".npy" and _is_vectors(p))]
    return files[0].name if files else ""


def _is_vectors(path: Path) -> bool:
    """Whether a .npy file holds vectors: exported codes lie in such files too."""
    try:
        NpyPart(path)
    except DataError:
        return False
    return True
