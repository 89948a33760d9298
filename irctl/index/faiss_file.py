"""A faiss index file made with a block of codes in memory at a time, byte for byte that of faiss.write_index.

faiss itself writes a filled index, and that as one array: the codes three times. Here it writes what surrounds them:
the empty index that says how many rows it has, and the same with one row of zeros. The two differ in one place, the
codes with their number before them. Inverted lists are the end of their file; they are sorted in a file without name
beside it, since a list is written whole and its rows come from all blocks.
Dimension key: N rows, C code bytes, L lists, n rows of a block.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]
Blocks = Callable[[], Iterable[Codes]]
"""All codes of the index in order, [n, C] at a time; asked for as often as they are needed."""

_COPIED = 1 << 20  # bytes copied at once


class AroundCodes(NamedTuple):
    """What stands before and after the codes."""

    before: bytes
    after: bytes


def find_layout(outer: Any, rows: int) -> AroundCodes:
    """How faiss writes this empty trained index with so many rows in it. RuntimeError where faiss, or this, cannot."""
    import faiss

    inner = innermost(outer)
    if isinstance(inner, faiss.IndexIVF):
        before, end = b"".join(_write_pieces(outer, rows)), _lists_begin(inner) + b"sprs" + bytes(8)
        if not before.endswith(end):
            raise RuntimeError(f"unknown inverted lists of {type(inner).__name__}")
        return AroundCodes(before.removesuffix(end), b"")
    code = bytes(inner.sa_code_size())
    inner.add_sa_codes(np.frombuffer(code, np.uint8)[None])
    one = _write_pieces(outer, rows)
    inner.reset()
    empty = _write_pieces(outer, rows)
    at = next((i for i, (a, b) in enumerate(zip(empty, one, strict=False)) if a != b), -2)
    if one[at + 1] != code or [*one[:at], bytes(8), *one[at + 2 :]] != empty:
        raise RuntimeError(f"unknown place of the codes of {type(inner).__name__}")
    count = int.from_bytes(one[at], "little") * rows  # of bytes, or of floats
    return AroundCodes(b"".join(one[:at]) + count.to_bytes(8, "little"), b"".join(one[at + 2 :]))


def write(sink: Any, folder: Path, outer: Any, around: AroundCodes, blocks: Blocks) -> None:
    """Write the file to `sink`. folder: where a file as large as the codes of inverted lists may lie meanwhile."""
    import faiss

    inner = innermost(outer)
    sink.write(around.before)
    if isinstance(inner, faiss.IndexIVF):
        _write_lists(sink, folder, inner, blocks)
    else:
        for codes_nC in blocks():
            sink.write(np.ascontiguousarray(codes_nC))
    sink.write(around.after)


def innermost(outer: Any) -> Any:
    """The index that holds the codes: faiss's transforms cannot add codes themselves."""
    import faiss

    return faiss.downcast_index(outer.index) if isinstance(outer, faiss.IndexPreTransform) else outer


def _write_pieces(outer: Any, rows: int) -> list[bytes]:
    """What faiss writes of an index that says it has so many rows: a piece for each value and array not empty."""
    import faiss

    pieces: list[bytes] = []

    def keep(piece: bytes) -> int:
        pieces.append(bytes(piece))
        return len(piece)

    inner = innermost(outer)
    outer.ntotal = inner.ntotal = rows
    try:
        faiss.write_index(outer, faiss.PyCallbackIOWriter(keep))  # type: ignore[attr-defined]
    finally:
        outer.ntotal = inner.ntotal = 0
    return pieces


def _lists_begin(index: Any) -> bytes:
    return b"ilar" + np.array([index.nlist, index.code_size], "<u8").tobytes()


def _write_lists(sink: Any, folder: Path, index: Any, blocks: Blocks) -> None:
    """Sizes of the lists, then codes and row numbers of each that is not empty."""
    width, head = int(index.code_size), int(index.coarse_code_size())
    sizes_L = np.zeros(index.nlist, np.int64)
    for codes_nC in blocks():
        sizes_L += np.bincount(_read_lists(codes_nC, head, index.nlist), minlength=index.nlist)
    filled = np.flatnonzero(sizes_L)
    full = len(filled) > index.nlist // 2
    sizes = sizes_L if full else np.stack([filled, sizes_L[filled]], axis=1).ravel()
    sink.write(_lists_begin(index) + (b"full" if full else b"sprs"))
    sink.write(np.array([len(sizes)], "<u8").tobytes() + sizes.astype("<u8").tobytes())
    codes_at_L = np.concatenate([[0], np.cumsum(sizes_L * (width + 8))[:-1]])  # where the next code of a list goes
    ids_at_L = codes_at_L + sizes_L * width
    with tempfile.TemporaryFile(dir=folder) as sorted_file:
        handle, row0 = sorted_file.fileno(), 0
        for codes_nC in blocks():
            lists_n = _read_lists(codes_nC, head, index.nlist)
            order_n = np.argsort(lists_n, kind="stable")
            own_nC, ids_n = codes_nC[order_n, head:], (row0 + order_n).astype("<i8")
            starts = np.flatnonzero(np.diff(lists_n[order_n], prepend=-1))
            for start, stop in zip(starts, [*starts[1:], len(order_n)], strict=True):
                number = lists_n[order_n[start]]
                codes_at_L[number] += _write_at(handle, own_nC[start:stop], codes_at_L[number])
                ids_at_L[number] += _write_at(handle, ids_n[start:stop], ids_at_L[number])
            row0 += len(codes_nC)
        sorted_file.seek(0)
        shutil.copyfileobj(sorted_file, sink, _COPIED)


def _read_lists(codes_nC: Codes, head: int, lists: int) -> NDArray[np.int64]:
    """The number that an IVF code begins with."""
    numbers_n = codes_nC[:, :head].astype(np.int64) @ (1 << 8 * np.arange(head, dtype=np.int64))
    if numbers_n.max(initial=0) >= lists:
        raise RuntimeError(f"a code of list {numbers_n.max()}, of {lists}")
    return numbers_n


def _write_at(handle: int, values: NDArray[Any], place: int) -> int:
    """Bytes written, all of them."""
    left = np.ascontiguousarray(values).data.cast("B")
    size = len(left)
    while left:
        done = os.pwrite(handle, left, place)
        left, place = left[done:], place + done
    return size
