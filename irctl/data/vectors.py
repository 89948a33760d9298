"""Streams of vectors: an embedding folder, .npy or parquet files, a data set of the hub, or a synthetic set.

Rows are numbered through all files in order; nothing but the rows asked for is in memory.
Dimension key: N rows, D vector width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl import hashing, tables
from irctl.data import artefacts, hub, synthetic
from irctl.data.lines import numbered
from irctl.data.vector_parts import ArrowIds, Ids, ListedIds, NpyPart, ParquetPart, Part, StreamIds
from irctl.errors import DataError
from irctl.ledger import stored
from irctl.paths import check_inside
from irctl.types import VectorBlock

EMBEDDINGS = "irctl-embeddings"
PART = {"file": str, "rows": int, "sha256": str, "ids?": str}


class VectorStream:
    """A types.Stream over parts. files: (name, rows) in order. about: facts of the folder that made it, if any.

    source: a name that will open the same content again, where the name asked for may not: hf:// at a commit.
    """

    def __init__(
        self, parts: Sequence[Part], fingerprint: str, about: Mapping[str, Any] | None = None, source: str = ""
    ) -> None:
        if empty := next((p for p in parts if p.rows and p.dim < 1), None):
            raise DataError(f"{empty.name}: expected vectors of width 1 or more, found width 0")
        widths = {p.dim for p in parts if p.rows}
        if len(widths) > 1:
            odd = next(p for p in parts if p.rows and p.dim != parts[0].dim)
            raise DataError(f"{odd.name}: expected width {parts[0].dim}, as in {parts[0].name}, found {odd.dim}")
        self.parts = tuple(parts)
        self.files = tuple((p.name, p.rows) for p in parts)
        self.rows = sum(p.rows for p in parts)
        self.dim = widths.pop() if widths else (parts[0].dim if parts else 0)
        self.fingerprint = fingerprint
        self.about = dict(about or {})
        self.source = source
        self._starts = np.r_[0, np.cumsum([p.rows for p in parts])].astype(np.int64)

    def __len__(self) -> int:
        return self.rows

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[VectorBlock]:
        """Rows start .. stop in blocks of `size`, the last one shorter; a block may span files.

        Raises DataError with file and row for a value that is not finite.
        """
        stop = self.rows if stop is None else min(stop, self.rows)
        filling: _Filling | None = None
        for vectors_ND, names in self._pieces(start, stop):
            taken = 0
            while taken < len(vectors_ND):
                filling = filling or _Filling(min(size, stop - start), self.dim)
                taken += filling.add(vectors_ND[taken:], None if names is None else names[taken:])
                if filling.is_full:
                    yield self._block(start, filling)
                    start, filling = start + filling.size, None

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[NDArray[np.floating], list[str] | None]]:
        for part, first in zip(self.parts, self._starts.tolist(), strict=False):
            low, high = max(start - first, 0), min(stop - first, part.rows)
            if low < high:
                yield from part.pieces(low, high)

    def take(self, rows_N: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors [N, D] at these rows, in the order asked."""
        rows_N = np.asarray(rows_N, dtype=np.int64)
        if len(rows_N) and (rows_N.min() < 0 or rows_N.max() >= self.rows):
            raise DataError(f"{self.describe()}: rows 0 to {self.rows - 1}, asked {rows_N.min()} to {rows_N.max()}")
        out_ND = np.empty((len(rows_N), self.dim), np.float32)
        part_N = np.searchsorted(self._starts, rows_N, side="right") - 1
        for number in np.unique(part_N).tolist():
            mine = np.flatnonzero(part_N == number)
            with np.errstate(over="ignore"):  # looked for below
                self.parts[number].take(rows_N[mine] - self._starts[number], out_ND, mine)
        bad = _not_finite(out_ND)
        if bad is not None:
            raise self._bad_row(int(rows_N[bad]))
        return out_ND

    def check(self) -> None:
        """Hash the files whose hash is known and that were not hashed before. DataError for one that is damaged."""
        files = [part for part in self.parts if isinstance(part, NpyPart)]
        stored.check_all((part.path, part.sha256) for part in files)

    def groups(self) -> list[tuple[int, int]]:
        """(start, stop) of rows that are read from the first of them on: the row groups of parquet files."""
        pairs = zip(self.parts, self._starts.tolist(), strict=False)
        return [(first + a, first + b) for part, first in pairs for a, b in part.groups()]

    def document_ids(self) -> StreamIds | None:
        """Ids by row, read when asked for; None where row numbers are all there is."""
        return StreamIds(self.parts) if any(p.has_ids for p in self.parts) else None

    def id_bytes(self) -> float:
        """About how many bytes an id takes where it is stored; 0 without ids."""
        known = self.document_ids()
        return 0.0 if known is None else known.width

    def describe(self) -> str:
        return self.parts[0].name if len(self.parts) == 1 else f"{len(self.parts)} files"

    def _block(self, start: int, filling: _Filling) -> VectorBlock:
        vectors_ND = filling.vectors()
        bad = _not_finite(vectors_ND)
        if bad is not None:
            raise self._bad_row(start + bad)
        return VectorBlock(start, filling.ids, vectors_ND)

    def _bad_row(self, row: int) -> DataError:
        part = int(np.searchsorted(self._starts, row, side="right")) - 1
        inside = row - int(self._starts[part])
        return DataError(f"{self.parts[part].name}: row {inside}: expected finite numbers, found NaN or infinity")


class _Filling:
    """A block being filled. A single piece is handed on as it is, a mapped file's rows without a copy.

    Several pieces are copied as they come: a reader whose buffers go back to it at once uses them again, which made
    parquet twice as fast as joining the pieces at the end.
    """

    def __init__(self, size: int, dim: int) -> None:
        self.size, self._dim, self._count = size, dim, 0
        self._whole: NDArray[np.floating] | None = None
        self._copied_ND: NDArray[np.float32] | None = None
        self.ids: list[str] | None = []

    @property
    def is_full(self) -> bool:
        return self._count == self.size

    def add(self, piece_ND: NDArray[np.floating], names: list[str] | None) -> int:
        """Take as many rows of the piece as fit; returns how many."""
        piece_ND = piece_ND[: self.size - self._count]
        if names is None or self.ids is None:
            self.ids = None
        else:
            self.ids += names[: len(piece_ND)]
        if len(piece_ND) == self.size:
            self._whole = piece_ND
        else:
            if self._copied_ND is None:
                self._copied_ND = np.empty((self.size, self._dim), np.float32)
            with np.errstate(over="ignore"):
                self._copied_ND[self._count : self._count + len(piece_ND)] = piece_ND
        self._count += len(piece_ND)
        return len(piece_ND)

    def vectors(self) -> NDArray[np.float32]:
        """float32 [size, D], C-contiguous."""
        filled = self._whole if self._copied_ND is None else self._copied_ND
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(filled, dtype=np.float32)


def _not_finite(x_ND: NDArray[np.float32]) -> int | None:
    """First row with NaN or infinity. The sum finds them in one pass; a sum that overflows is looked at row by row."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(x_ND.sum()):
            return None
    bad = np.flatnonzero(~np.isfinite(x_ND).all(axis=1))
    return int(bad[0]) if len(bad) else None


def is_name(source: str) -> bool:
    """True for sources that are no paths: hf://... and synthetic:..."""
    return hub.is_hub(source) or source.startswith(synthetic.PREFIX)


def columns_named(source: str) -> tuple[str, str, str]:
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
    text, column, id_column = columns_named(str(source))
    stream = _opened(text, root, column, id_column)
    if column or id_column:
        key = artefacts.key_of({"of": stream.fingerprint, "column": column, "ids": id_column})
        stream.fingerprint = hashing.marked(key, [stream.fingerprint])
        stream.source = stream.source and f"{stream.source}#{column}{',' if id_column else ''}{id_column}"
    return stream


def _opened(text: str, root: str, column: str, id_column: str) -> VectorStream:
    if text.startswith(synthetic.PREFIX):
        part = synthetic.SyntheticPart(text)
        version = f"{text} seed {synthetic.SEED} spread {synthetic.SPREAD} numpy {np.__version__.split('.')[0]}"
        return VectorStream([part], artefacts.key_of({"synthetic": version}))
    if hub.is_hub(text):
        from irctl.data.hub_vectors import hub_stream, local_files

        if not root:
            return hub_stream(text, column, id_column)
        files = local_files(text, root)
        is_named = files[0].name == text.rpartition("/")[2]  # a file alone is its rows; of a folder it has its ids
        if len(files) != 1 or (files[0].is_file() and not is_named and _ids_file(files[0].parent)):
            return _files(files[0].parent, files, column, id_column)
        text = str(files[0])
    path = Path(text)
    if path.is_dir():
        manifest = _manifest(path)
        return _embeddings(path, manifest) if manifest else _files(path, _of_one_kind(path), column, id_column)
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder of vectors")
    return VectorStream([_part(path, column, id_column)], hashing.identity(path))


def _manifest(folder: Path) -> dict[str, Any] | None:
    path = folder / "manifest.json"
    if not path.is_file():
        return None
    manifest = tables.json_object(path, hint="Encode again")
    if manifest.get("format") != EMBEDDINGS:
        raise DataError(f"{path}: expected format {EMBEDDINGS}, found {manifest.get('format')}")
    tables.check(manifest, {"dim": int, "parts": [PART]}, str(path), hint="Encode again")
    return manifest


def _embeddings(folder: Path, manifest: Mapping[str, Any]) -> VectorStream:
    """Shards of irctl encode, by their manifest; its hashes are the fingerprint.

    Rows taken here and there of more than a GB are read as they are: hashing it all would cost more than the rest.
    """
    parts: list[Part] = []
    size = sum(int(entry.get("bytes", 0)) for entry in manifest["parts"])
    samples = size <= hashing.WHOLE_UP_TO or hashing.mode() == "full"
    for entry in manifest["parts"]:
        for key in ("file", "ids"):
            if entry.get(key):
                check_inside(entry[key], folder / "manifest.json")
        ids = ArrowIds(folder / entry["ids"], str(entry.get("ids_sha256", ""))) if entry.get("ids") else None
        part = NpyPart(folder / entry["file"], ids, 0, str(entry.get("sha256", "")), samples=samples)
        expected = (int(entry["rows"]), int(manifest["dim"]))
        if (part.rows, part.dim) != expected:
            raise DataError(f"{part.name}: expected {expected}, found {(part.rows, part.dim)}", hint="Encode again")
        parts.append(part)
    about = {k: v for k, v in manifest.items() if k != "parts"}
    digest = artefacts.key_of({"parts": [[e["rows"], e["sha256"]] for e in manifest["parts"]]})
    return VectorStream(parts, digest, about)


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
    parts: list[Part] = []
    first = 0
    for path in files:
        parts.append(_part(path, column, id_column, ids, first))
        first += parts[-1].rows
    if ids is not None and len(ids) != first:
        raise DataError(f"{folder}: {len(ids)} ids for {first} rows")
    known = hashing.identities([*files, ids_file] if ids_file else files)
    named = [[p.name, k] for p, k in zip(files, known, strict=False)]
    key = artefacts.key_of({"files": named, "ids": known[-1]} if ids_file else {"files": named})
    return VectorStream(parts, hashing.marked(key, known))


def _ids_file(folder: Path) -> Path | None:
    """Raises DataError where there are two."""
    found = [p for name in ("ids.arrow", "ids.txt") if (p := folder / name).is_file()]
    if len(found) > 1:
        raise DataError(f"{folder}: expected one file of ids, found ids.arrow and ids.txt", hint="Remove one of them")
    return found[0] if found else None


def _ids_of(path: Path) -> Ids:
    if path.suffix == ".arrow":
        return ArrowIds(path)
    return ListedIds([text for _, text in numbered(path)], str(path))


def _part(path: Path, column: str, id_column: str, ids: Ids | None = None, first_id: int = 0) -> Part:
    if path.suffix == ".parquet":
        return ParquetPart(str(path), lambda: path, column, id_column, ids, first_id)
    if path.suffix != ".npy":
        raise DataError(f"{path}: expected .npy or .parquet, found {path.suffix or 'no ending'}")
    return NpyPart(path, ids, first_id)
