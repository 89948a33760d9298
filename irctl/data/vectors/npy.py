"""Vectors in a .npy file, memory-mapped: rows of any type that numpy saves and float32 holds, in either order.

Rows become float32 a block at a time, whatever their type. In Fortran order the numbers of a row lie far apart, so a
block is read from as many places as there are dimensions; never more than the block is in memory.
Dimension key: N vectors, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from irctl import files
from irctl.data.files.kinds import NPY, kind_of
from irctl.data.vectors.ids import ID_BLOCK, VectorIds
from irctl.data.vectors.parts import Piece, Place
from irctl.errors import DataError
from irctl.ledger import stored

TYPES = (np.float16, np.float32, np.float64, np.int8, np.uint8)
_VERSIONS = ((1, 0), (2, 0), (3, 0))
BATCH = 1000
"""Rows copied at once where rows are taken here and there."""


class NpyPart:
    """A .npy file, memory-mapped. Raises DataError for one that holds no vectors.

    sha256: of the whole file, where it is known: checked before the first row is read, with `samples` also for take.
    """

    def __init__(
        self, path: Path, ids: VectorIds | None = None, first_id: int = 0, sha256: str = "", *, samples: bool = True
    ) -> None:
        name = str(path)
        try:
            with path.open("rb") as file:
                shape, dtype, _ = read_header(file, name)
            check_vectors(name, shape, dtype)
            if holds_codes(path, dtype):
                raise DataError(
                    f"{name}: expected vectors, found codes, {dtype} {shape}",
                    hint="Name the bundle, or write its vectors: irctl export BUNDLE --to npy --decoded",
                )
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise DataError(f"{name}: no such file") from None
        except OSError as e:
            raise files.read_error(name, e) from None
        except ValueError as e:
            raise _not_numbers(name, e) from None
        self.name, (self.rows, self.dim) = name, array.shape
        self._vectors_ND = array
        self.has_ids = ids is not None
        self._ids, self._first_id = ids, first_id
        self.path, self.sha256, self._samples = path, sha256, samples

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        stored.check(self.path, self.sha256)
        if self._ids is None:
            yield self._vectors_ND[start:stop], None
            return
        for low in range(start, stop, ID_BLOCK):
            high = min(low + ID_BLOCK, stop)
            yield self._vectors_ND[low:high], self.id_span(low, high)

    def id_span(self, start: int, stop: int) -> list[str]:
        assert self._ids is not None
        return self._ids.span(self._first_id + start, self._first_id + stop)

    def take(self, rows_N: NDArray[np.int64], out_ND: Place, at_N: NDArray[np.int64]) -> None:
        if self._samples:
            stored.check(self.path, self.sha256)
        order = np.argsort(rows_N, kind="stable")  # ascending reads of a mapped file
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            out_ND[at_N[some]] = self._vectors_ND[rows_N[some]]

    def groups(self) -> list[tuple[int, int]]:
        return []


def read_header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """(shape, dtype, whether it is in Fortran order) of a .npy file, left at its first value. DataError for another."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in _VERSIONS:
            raise ValueError(f"version {version}")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(file)
    except ValueError as e:
        raise _not_numbers(name, e) from None
    return shape, dtype, is_fortran


def _not_numbers(name: str, error: Exception) -> DataError:
    kind = kind_of(Path(name)) if Path(name).is_file() else ""
    if not kind or kind == NPY:
        return DataError(f"{name}: not a .npy file of numbers ({str(error).splitlines()[0]})")
    hint = "Save its vectors with numpy.save(FILE, array)" if kind not in ("text", "an empty file") else ""
    return DataError(f"{name}: expected a .npy file of vectors, found {kind}", hint=hint)


def check_vectors(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raises DataError unless an array has rows of one of TYPES, in any byte order."""
    if len(shape) == 2 and dtype.newbyteorder("=") in TYPES and (shape[1] or not shape[0]):
        return
    is_real = len(shape) == 2 and dtype.kind in "fiu"
    raise DataError(
        f"{name}: expected a 2-D array of float16, float32, float64, int8 or uint8, found {dtype} {shape}",
        hint="Save it as float32: numpy.save(FILE, array.astype('float32'))" if is_real and shape[1] else "",
    )


def holds_codes(path: Path, dtype: np.dtype[Any]) -> bool:
    """Whether bytes are codes that irctl wrote: a batch, a merged part of a bundle, or an export with its quantizer."""
    bundle = path.parent.parent if path.parent.name == "codes" else None
    return dtype == np.uint8 and (
        "_compressed_batch_" in path.name
        or path.with_name(f"{path.name}.quantizer").is_dir()
        or (bundle is not None and any((bundle / name).is_file() for name in ("plan.json", "manifest.json")))
    )
