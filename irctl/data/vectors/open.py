"""Streams of vectors: an embedding folder, .npy or parquet files, a data set of the hub, or a synthetic set.

Rows are numbered through all files in order; nothing but the rows asked for is in memory.
Dimension key: N rows, D vector width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from irctl import hashing
from irctl.data.files import hub, made_once
from irctl.data.files.lines import read_lines
from irctl.data.vectors import embedding_folder, synthetic
from irctl.data.vectors.ids import ArrowIds, ListedIds, VectorIds
from irctl.data.vectors.npy import NpyPart
from irctl.data.vectors.parquet import ParquetPart
from irctl.data.vectors.parts import VectorPart
from irctl.data.vectors.stream import VectorStream
from irctl.errors import DataError


def is_remote_name(source: str) -> bool:
    """True for sources that are no paths: hf://... and synthetic:..."""
    return hub.is_hub(source) or source.startswith(synthetic.PREFIX)


def split_columns(source: str) -> tuple[str, str, str]:
    """(place, column, id column) of PLACE#COLUMN or PLACE#COLUMN,IDS; both empty where the source names none."""
    place, mark, columns = source.rpartition("#")
    if not mark or Path(source).exists():
        return source, "", ""
    column, _, id_column = columns.partition(",")
    return place, column, id_column


def open_vectors(source: str | Path, *, root: str = "") -> VectorStream:
    """The stream that a source names: folder, .npy, .parquet, synthetic:N,D,decay or hf://OWNER/NAME[@REVISION][/PATH].

    #COLUMN or #COLUMN,IDS after it chooses among the columns of parquet files. root: folder that stands for hf://
    repositories. Raises DataError for what cannot be opened.
    """
    text, column, id_column = split_columns(str(source))
    stream = _opened(text, root, column, id_column)
    if column or id_column:
        key = made_once.key_of({"of": stream.fingerprint, "column": column, "ids": id_column})
        stream.fingerprint = hashing.marked(key, [stream.fingerprint])
        stream.source = stream.source and f"{stream.source}#{column}{',' if id_column else ''}{id_column}"
    return stream


def _opened(text: str, root: str, column: str, id_column: str) -> VectorStream:
    if text.startswith(synthetic.PREFIX):
        part = synthetic.SyntheticPart(text)
        version = f"{text} seed {synthetic.SEED} spread {synthetic.SPREAD} numpy {np.__version__.split('.')[0]}"
        return VectorStream([part], made_once.key_of({"synthetic": version}))
    if hub.is_hub(text):
        from irctl.data.vectors.hub_files import find_local_files, open_hub_stream

        if not root:
            return open_hub_stream(text, column, id_column)
        files = find_local_files(text, root)
        is_named = files[0].name == text.rpartition("/")[2]  # a file alone is its rows; of a folder it has its ids
        if len(files) != 1 or (files[0].is_file() and not is_named and _ids_file(files[0].parent)):
            return _files(files[0].parent, files, column, id_column)
        text = str(files[0])
    path = Path(text)
    if path.is_dir():
        manifest = embedding_folder.read_manifest(path)
        return (
            embedding_folder.open_stream(path, manifest)
            if manifest
            else _files(path, _of_one_kind(path), column, id_column)
        )
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder of vectors")
    return VectorStream([_part(path, column, id_column)], hashing.identity(path))


def _of_one_kind(folder: Path) -> list[Path]:
    arrays, tables = sorted(folder.glob("*.npy")), sorted(folder.glob("*.parquet"))
    if arrays and tables:
        raise DataError(
            f"{folder}: expected files of one kind, found {arrays[0].name} and {tables[0].name}",
            hint="Move one kind to another folder",
        )
    return arrays or tables


def _files(folder: Path, files: Sequence[Path], column: str, id_column: str) -> VectorStream:
    """*.npy or *.parquet of a folder in order of name, with optional ids.arrow or ids.txt beside."""
    if not files:
        raise DataError(f"{folder}: neither manifest.json nor *.npy nor *.parquet there")
    ids_file = _ids_file(folder)
    ids = _ids_of(ids_file) if ids_file else None
    parts: list[VectorPart] = []
    first = 0
    for path in files:
        parts.append(_part(path, column, id_column, ids, first))
        first += parts[-1].rows
    if ids is not None and len(ids) != first:
        raise DataError(f"{folder}: {len(ids)} ids for {first} rows")
    known = hashing.identities([*files, ids_file] if ids_file else files)
    named = [[p.name, k] for p, k in zip(files, known, strict=False)]
    key = made_once.key_of({"files": named, "ids": known[-1]} if ids_file else {"files": named})
    return VectorStream(parts, hashing.marked(key, known))


def _ids_file(folder: Path) -> Path | None:
    """Raises DataError where there are two."""
    files = [p for name in ("ids.arrow", "ids.txt") if (p := folder / name).is_file()]
    if len(files) > 1:
        raise DataError(f"{folder}: expected one file of ids, found ids.arrow and ids.txt", hint="Remove one of them")
    return files[0] if files else None


def _ids_of(path: Path) -> VectorIds:
    if path.suffix == ".arrow":
        return ArrowIds(path)
    return ListedIds([text for _, text in read_lines(path)], str(path))


def _part(path: Path, column: str, id_column: str, ids: VectorIds | None = None, first_id: int = 0) -> VectorPart:
    if path.suffix == ".parquet":
        return ParquetPart(str(path), lambda: path, column, id_column, ids, first_id)
    if path.suffix != ".npy":
        raise DataError(f"{path}: expected .npy or .parquet, found {path.suffix or 'no ending'}")
    return NpyPart(path, ids, first_id)
