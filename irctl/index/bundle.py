"""A bundle: one folder with codes, ids and the quantizer that reads them. Readers follow its manifest, never a glob.

BUNDLE/ manifest.json (written last)  plan.json
        codes/METHOD_compressed_batch_0000.npy ...  uint8 [rows, code_size], or codes/part-00000.npy once merged
        ids/batch_0000.arrow ...                    one utf8 column docid; none where ids are row numbers
        quantizer/ (pq/ for pq, opq, learned)       quantizer.json and named arrays
        transform/                                  what rows and queries go through before it, if anything
Dimension key: N rows, C code bytes a row.
"""

from __future__ import annotations

import bisect
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl import files, hashing
from irctl.errors import DataError
from irctl.index import shards
from irctl.index.scoring import METRICS
from irctl.ledger import damaged, stored

FORMAT, VERSION = "irctl-bundle", 1
QUANTIZER = "quantizer.json"
_IDS = 10_000  # of a file that are Python objects at once
SHAPE = {
    **dict.fromkeys(("rows", "dim", "code_size"), int),
    "method": str,
    "metric": frozenset(METRICS),
    "parts": [shards.PART | {"row0": int}],
    "quantizer": {"folder": str, "sha256": str},
    "source?": dict,
    "about?": dict,
    "appended?": [dict],
    "query_encoder?": {"folder": str, "fingerprint": str},
    "transform?": {"folder": str, "sha256": str},
}

Loader = Callable[[Path], Any]
"""folder -> trained quantizer. Passed in, because quantizers stand above this package."""


def locate_quantizer(folder: Path, method: str) -> Path:
    """Where a bundle keeps its quantizer: product quantizers lie in pq/, as learned ones do."""
    return folder / ("pq" if method in ("pq", "opq", "learned") else "quantizer")


class BundleIds:
    """Document ids by row, from mapped Arrow files; row numbers as text where there are none."""

    def __init__(self, folder: Path, parts: Sequence[Mapping[str, Any]]) -> None:
        self._folder, self._parts = folder, parts
        self._starts = [int(p["row0"]) for p in parts]
        self._open: dict[int, Any] = {}

    @property
    def are_rows(self) -> bool:
        """True if there are no ids but row numbers."""
        return not any(p.get("ids") for p in self._parts)

    def __len__(self) -> int:
        return sum(int(p["rows"]) for p in self._parts)

    def __getitem__(self, row: int) -> str:
        if row < 0:
            raise IndexError(row)
        number = bisect.bisect_right(self._starts, row) - 1
        part = self._parts[number]
        if row - int(part["row0"]) >= int(part["rows"]):
            raise IndexError(row)
        if not part.get("ids"):
            return str(row)
        if number not in self._open:
            self._open[number] = self._read(part)
        return str(self._open[number][row - int(part["row0"])].as_py())

    def __iter__(self) -> Iterator[str]:
        for number, part in enumerate(self._parts):
            if part.get("ids"):
                column = self._read(part)
                for first in range(0, len(column), _IDS):
                    yield from column.slice(first, _IDS).to_pylist()
            else:
                start = self._starts[number]
                yield from map(str, range(start, start + int(part["rows"])))

    def _read(self, part: Mapping[str, Any]) -> Any:
        path = self._folder / part["ids"]
        stored.check(path, str(part.get("ids_sha256", "")))
        return shards.read_ids(path)


class Bundle:
    """A finished bundle, codes memory-mapped. The quantizer is loaded when it is first asked for."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any], load_quantizer: Loader) -> None:
        self.folder, self.manifest = folder, manifest
        self.rows, self.dim, self.code_size = (int(manifest[k]) for k in ("rows", "dim", "code_size"))
        self.method, self.metric = str(manifest["method"]), str(manifest["metric"])
        self.parts: list[dict[str, Any]] = list(manifest["parts"])
        self.ids = BundleIds(folder, self.parts)
        self._load = load_quantizer
        self._quantizer: Any = None

    @property
    def trained_by(self) -> str:
        """The training method that made the query side, by which tables call these codes; empty where none did."""
        return str(self.manifest.get("about", {}).get("trained", {}).get("method", ""))

    @property
    def fingerprint(self) -> str:
        """sha256 of the manifest, which holds every file's hash."""
        return hashing.sha256_file(self.folder / shards.MANIFEST)

    @property
    def quantizer(self) -> Any:
        """The trained quantizer; DataError if it is not the one that made the codes."""
        if self._quantizer is None:
            folder = self.folder / self.manifest["quantizer"]["folder"]
            described = folder / QUANTIZER
            expected = self.manifest["quantizer"]["sha256"]
            if described.is_file() and (digest := hashing.compute_sha256(described)) != expected:
                raise damaged.error(described, expected, digest, "Codes need the one that made them: compress again")
            quantizer = self._load(folder)
            sizes = (quantizer.dim, quantizer.code_size)
            if sizes != (self.dim, self.code_size):
                raise DataError(
                    f"{folder}: expected {self.dim} dimensions and {self.code_size} bytes a row, "
                    f"found {sizes[0]} and {sizes[1]}"
                )
            self._quantizer = quantizer
        return self._quantizer

    def codes(self, part: Mapping[str, Any]) -> NDArray[np.uint8]:
        """Codes of one part, mapped. Raises DataError for a file that is damaged or of another shape."""
        path = self.folder / part["file"]
        if not int(part["rows"]):  # an empty file cannot be mapped
            return np.empty((0, self.code_size), np.uint8)
        try:
            codes_NC: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
        except OSError as e:
            raise files.read_error(path, e, hint="Compress again; finished shards are kept") from e
        except (ValueError, EOFError) as e:
            raise DataError(f"{path}: cannot be read ({e})", hint="Compress again; finished shards are kept") from e
        stored.check(path, str(part.get("sha256", "")))
        expected = (int(part["rows"]), self.code_size)
        if codes_NC.dtype != np.uint8 or codes_NC.shape != expected:
            raise DataError(f"{path}: expected uint8 {expected}, found {codes_NC.dtype} {codes_NC.shape}")
        return codes_NC

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """(first row, codes [at most size, C]) of rows start .. stop, parts joined: only the last block is short."""
        first, stop = start, self.rows if stop is None else stop
        held = 0
        waiting: list[NDArray[np.uint8]] = []
        for part in self.parts:
            row0 = int(part["row0"])
            low, high = max(first - row0, 0), min(stop - row0, int(part["rows"]))
            if low >= high:
                continue
            mapped_NC = self.codes(part)
            codes_NC, taken = mapped_NC[low:high], 0
            while taken < len(codes_NC):
                piece = codes_NC[taken : taken + size - held]
                waiting.append(piece)
                taken, held = taken + len(piece), held + len(piece)
                if held == size:
                    yield start, _join(waiting)
                    start, held, waiting = start + size, 0, []
                    _release(mapped_NC)
        if held:
            yield start, _join(waiting)

    def take(self, rows_N: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Codes [N, C] of these rows, in the order asked."""
        out_NC = np.empty((len(rows_N), self.code_size), np.uint8)
        starts = np.array([int(p["row0"]) for p in self.parts])
        number_N = np.searchsorted(starts, rows_N, side="right") - 1
        for number in np.unique(number_N):
            mine = number_N == number
            out_NC[mine] = self.codes(self.parts[number])[rows_N[mine] - starts[number]]
        return out_NC

    def check(self) -> None:
        """Hash codes that were not hashed before, several files at once. DataError for one that is damaged."""
        stored.check_all((self.folder / p["file"], str(p.get("sha256", ""))) for p in self.parts)

    def verify(self) -> int:
        """Hash every file again; returns how many. DataError names the first that differs."""
        assert self.quantizer is not None  # its loader checks the arrays
        return shards.verify(self.folder, self.parts)


def _release(mapped_NC: NDArray[np.uint8]) -> None:
    """What was read of a mapped file is this process's memory no more; who reads it again finds it in the cache."""
    if isinstance(mapped_NC, np.memmap):
        mapped_NC._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def _join(pieces: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pieces[0]) if len(pieces) == 1 else np.concatenate(pieces)


def is_bundle(folder: Path) -> bool:
    """True if the folder says that it is one."""
    return (folder / shards.MANIFEST).is_file() and f'"{FORMAT}"'.encode() in (folder / shards.MANIFEST).read_bytes()


def open_bundle(folder: Path, load_quantizer: Loader) -> Bundle:
    """The bundle in a folder. Raises DataError when it is unfinished, torn, or its rows do not add up."""
    manifest = shards.read_manifest(folder, FORMAT, VERSION, SHAPE)
    try:
        row = 0
        for part in manifest["parts"]:
            if int(part["row0"]) != row:
                raise DataError(f"{folder}: {part['file']} begins at row {part['row0']}, expected {row}")
            row += int(part["rows"])
        if row != int(manifest["rows"]):
            raise DataError(f"{folder}: the manifest says {manifest['rows']} rows, its parts hold {row}")
        return Bundle(folder, manifest, load_quantizer)
    except KeyError as e:
        raise DataError(f"{folder / shards.MANIFEST}: no key {e}", hint="Compress again") from None


def measure_rows(parts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Bytes a row on disk, headers counted: of the codes, and with their ids."""
    rows, code_bytes, id_bytes = (sum(int(p.get(k, 0)) for p in parts) for k in ("rows", "bytes", "ids_bytes"))
    sizes = {"codes": code_bytes, "with_ids": code_bytes + id_bytes}
    return {name: round(size / rows, 4) if rows else 0.0 for name, size in sizes.items()}


def write_bundle(
    folder: Path,
    *,
    method: str,
    dim: int,
    code_size: int,
    metric: str,
    parts: Sequence[Mapping[str, Any]],
    quantizer: Path,
    **more: Any,
) -> str:
    """Write the manifest over finished parts {file, rows, row0, bytes, sha256[, ids, ...]}; returns its sha256.

    quantizer: folder inside the bundle. more: further facts (source, encoder, plan hash); no times, hosts or paths.
    """
    described = quantizer / QUANTIZER
    return shards.write_manifest(
        folder,
        {
            "format": FORMAT,
            "version": VERSION,
            "method": method,
            "dim": dim,
            "code_size": code_size,
            "metric": metric,
            "rows": sum(int(p["rows"]) for p in parts),
            "parts": [dict(p) for p in parts],
            "quantizer": {
                "folder": quantizer.relative_to(folder).as_posix(),
                "sha256": hashing.compute_sha256(described) if described.is_file() else "",
            },
            "bytes_per_row": measure_rows(parts),
            **more,
        },
    )
