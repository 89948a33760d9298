"""Vectors of a hub repository, read by byte range at a pinned commit: parquet or .npy, nothing downloaded whole.

Dimension key: N rows, D dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.data.files import hub, made_once
from irctl.data.vectors.npy import check_vectors, read_header
from irctl.data.vectors.parquet import ParquetPart
from irctl.data.vectors.parts import Piece, Place, VectorPart
from irctl.data.vectors.stream import VectorStream
from irctl.errors import DataError

ROWS_AT_ONCE = 4096
PREFERRED = ("passages", "corpus")
SPLIT = re.compile(r"(train|test|dev|valid|validation|val|quer(?:y|ies)|corpus|passages?|documents?|docs?)(?![a-zA-Z])")
"""What a file's name begins with that belongs to one part of a data set."""


def find_local_files(source: str, root: str) -> list[Path]:
    """The files below data.root that stand for this source: chosen as from the repository, or one embedding folder.

    Raises DataError if there are none.
    """
    place = _place(source)
    repository = Path(root) / place.repo
    path = repository / place.path
    if path.is_file() or (path / "manifest.json").is_file():
        return [path]
    names = [p.relative_to(repository).as_posix() for p in sorted(repository.rglob("*")) if p.is_file()]
    if not _inside(names, place.path):
        raise DataError(f"{path}: no such file or folder (for {source})", hint="data.root holds OWNER/NAME/PATH")
    return [repository / name for name in _choose(source, _inside(names, place.path))]


def _inside(names: list[str], path: str) -> list[str]:
    """Names below a path of the repository; where there is none, below PATH_*, as PASSAGES_parquet is of PASSAGES.

    The last step of a path may be a pattern: data/train-*.parquet.
    """
    if "*" in path:
        return [n for n in names if n.count("/") == path.count("/") and fnmatchcase(n, path)]
    below = [n for n in names if not path or n == path or n.startswith(path + "/")]
    return below or [n for n in names if n.startswith(path + "_")]


def open_hub_stream(source: str, column: str = "", id_column: str = "") -> VectorStream:
    """The repository's vector files in order of name, at the commit that its revision has now.

    Raises DataError when the hub cannot be asked, or when the files lie in several folders and none is the passages.
    """
    from huggingface_hub import HfApi, HfFileSystem

    place = _place(source)
    info = hub.call_hub(lambda: HfApi().dataset_info(place.repo, revision=place.revision or None), source)
    commit = str(info.sha)
    files = _choose(source, _inside([s.rfilename for s in info.siblings or []], place.path))
    system = HfFileSystem()
    parts: list[VectorPart] = []
    for name in files:
        full = f"datasets/{place.repo}@{commit}/{name}"
        opener = _opener(system, full, source)
        label = f"{hub.PREFIX}{full}"
        if name.endswith(".parquet"):
            parts.append(ParquetPart(label, opener, column, id_column))
        else:
            parts.append(RemoteNpyPart(label, opener))
    key = made_once.key_of({"repo": place.repo, "commit": commit, "files": files})
    return VectorStream(parts, key, source=str(place._replace(revision=commit)))


def _opener(system: Any, full: str, source: str) -> Callable[[], Any]:
    return lambda: PatientFile(hub.call_hub(lambda: system.open(full, "rb"), source), source)


class PatientFile:
    """A remote file for pyarrow: what fails to be read is read again, from where it began."""

    closed = False

    def __init__(self, file: Any, source: str) -> None:
        self._file, self._source = file, source
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        start = self._file.tell()

        def again() -> bytes:
            self._file.seek(start)
            return bytes(self._file.read(size))

        return hub.call_hub(again, self._source)

    def readable(self) -> bool:
        return True

    seekable = readable

    def close(self) -> None:
        self.closed = True
        self._file.close()


def _choose(source: str, names: list[str]) -> list[str]:
    """Files of one folder, one kind and one split."""
    vectors = [n for n in names if n.endswith((".parquet", ".npy"))]
    kinds = sorted({(str(PurePosixPath(n).parent), PurePosixPath(n).suffix) for n in vectors})
    named = [k for k in kinds if PurePosixPath(k[0]).name.startswith(PREFERRED) and k[1] == ".parquet"]
    chosen = kinds if len(kinds) == 1 else named
    if len(chosen) != 1:
        listed = ", ".join(f"{folder}/*{kind}" for folder, kind in kinds) or "neither .parquet nor .npy files"
        raise DataError(f"{source}: expected one folder of vectors, found {listed}", hint="Add the folder to the name")
    files = sorted(n for n in vectors if (str(PurePosixPath(n).parent), PurePosixPath(n).suffix) == chosen[0])
    splits = {_split_of(n): n for n in reversed(files)}
    if len(splits) > 1:
        listed = ", ".join(f"{n} ({sum(_split_of(f) == s for f in files)})" for s, n in sorted(splits.items()))
        split = next((s for s in ("corpus", "passages", "train") if s in splits), max(splits))
        pattern = str(PurePosixPath(chosen[0][0]) / f"{split}*{chosen[0][1]}")
        place = _place(source)
        revision = f"@{place.revision}" if place.revision else ""
        hint = f"Name one, such as --data {hub.PREFIX}{place.repo}{revision}/{pattern}"
        raise DataError(f"{source}: expected vectors of one split, found files of several: {listed}", hint=hint)
    return files


def _split_of(name: str) -> str:
    match = SPLIT.match(PurePosixPath(name).name)
    return match[1] if match else ""


def _place(source: str) -> hub.HubPath:
    if not hub.PATTERN.fullmatch(source):
        raise DataError(f"{source}: expected hf://OWNER/NAME[@REVISION][/PATH]")
    return hub.parse_source(source)


class RemoteNpyPart:
    """A .npy file that is read by byte range: its header once, then rows."""

    def __init__(self, name: str, open_file: Callable[[], Any]) -> None:
        self.name, self.has_ids = name, False
        self._file = open_file()
        shape, dtype, is_fortran = read_header(self._file, name)
        check_vectors(name, shape, dtype)
        if is_fortran and min(shape) > 1:  # each block of rows would be as many requests as there are dimensions
            raise DataError(
                f"{name}: expected C order in a file of the hub, found Fortran order, {dtype} {shape}",
                hint="Download it, and give the file here",
            )
        self.rows, self.dim = shape
        self._dtype, self._start = dtype, self._file.tell()

    def _read(self, start: int, stop: int) -> NDArray[np.floating]:
        width = self.dim * self._dtype.itemsize

        self._file.seek(self._start + start * width)
        data = bytes(self._file.read((stop - start) * width))
        if len(data) != (stop - start) * width:
            raise DataError(f"{self.name}: ends before row {stop}")
        return np.frombuffer(data, self._dtype).reshape(stop - start, self.dim)

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        for first in range(start, stop, ROWS_AT_ONCE):
            yield self._read(first, min(first + ROWS_AT_ONCE, stop)), None

    def take(self, rows_N: NDArray[np.int64], out_ND: Place, at_N: NDArray[np.int64]) -> None:
        """Rows that lie near each other come with one request."""
        for number in np.unique(rows_N // ROWS_AT_ONCE).tolist():
            mine = np.flatnonzero(rows_N // ROWS_AT_ONCE == number)
            low, high = int(rows_N[mine].min()), int(rows_N[mine].max()) + 1
            out_ND[at_N[mine]] = self._read(low, high)[rows_N[mine] - low]

    def groups(self) -> list[tuple[int, int]]:
        return []

    def id_span(self, start: int, stop: int) -> list[str]:
        raise AssertionError("has no ids")
