"""Rows of codes or vectors in the formats of other programs, a block at a time; every file appears whole or not at all.

Dimension key: N rows, D dimensions, C code bytes, W columns of whatever is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.errors import DataError
from irctl.files import write_out
from irctl.index import faiss_file
from irctl.index.bundle import Bundle
from irctl.index.learned_bundle import link

BLOCK = 10_000
_CODES_AT_ONCE = 32 << 20  # bytes of codes: more rows of a list are neighbours in a larger block
Block = tuple[Sequence[str], NDArray[Any]]
"""(document ids, rows [n, W])"""


def write_npy(path: Path, rows: int, width: int, dtype: str, blocks: Iterable[Block]) -> int:
    """One array [rows, width]; returns the bytes written. DataError for a value that the dtype cannot hold."""
    largest = np.finfo(dtype).max if np.dtype(dtype).kind == "f" else None

    def write(sink: Any) -> None:
        np.lib.format.write_array_header_1_0(sink, {"descr": dtype, "fortran_order": False, "shape": (rows, width)})
        for _, block_NW in blocks:
            if largest is not None and np.abs(block_NW).max(initial=0) > largest:
                raise DataError(f"{path}: values beyond {largest:.0f}, the largest of float16", hint="Use --to fbin")
            sink.write(np.ascontiguousarray(block_NW, dtype=dtype).tobytes())

    return write_out(path, write).bytes


def write_bin(path: Path, rows: int, width: int, dtype: str, blocks: Iterable[Block]) -> int:
    """u8bin or fbin of the big-ann benchmarks: uint32 rows, uint32 width, then the rows."""

    def write(sink: Any) -> None:
        sink.write(np.array([rows, width], "<u4").tobytes())
        for _, block_NW in blocks:
            sink.write(np.ascontiguousarray(block_NW, dtype=dtype).tobytes())

    return write_out(path, write).bytes


def write_fvecs(path: Path, width: int, blocks: Iterable[Block]) -> int:
    """fvecs of the TEXMEX sets: each row an int32 width and its floats."""

    def write(sink: Any) -> None:
        for _, block_NW in blocks:
            record = np.empty((len(block_NW), width + 1), "<f4")
            record[:, 0] = np.array([width], "<i4").view("<f4")
            record[:, 1:] = block_NW
            sink.write(record.tobytes())

    return write_out(path, write).bytes


def write_ids(path: Path, blocks: Iterable[Block]) -> int:
    """Document ids, one a line, in row order. DataError for an id that is more than one line."""

    def write(sink: Any) -> None:
        for ids, _ in blocks:
            text = "".join(f"{i}\n" for i in ids)
            if text.count("\n") != len(ids) or "\r" in text:
                bad = next(i for i in ids if "\n" in i or "\r" in i)
                raise DataError(f"{path}: the id {bad!r} breaks its line", hint="--to parquet takes any id")
            sink.write(text.encode())

    return write_out(path, write).bytes


def write_parquet(
    path: Path, blocks: Iterable[Block], column: str, texts: Callable[[Sequence[str]], list[str]] | None = None
) -> int:
    """Columns id, then `codes` (fixed-size binary) or `vector` (list of float32), then text if it is asked for."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def table(ids: Sequence[str], block_NW: NDArray[Any]) -> pa.Table:
        n, width = block_NW.shape
        if column == "codes":
            flat = pa.py_buffer(np.ascontiguousarray(block_NW, np.uint8).tobytes())
            values = pa.Array.from_buffers(pa.binary(width), n, [None, flat])
        else:
            offsets = pa.array(np.arange(0, (n + 1) * width, width, dtype=np.int32))
            values = pa.ListArray.from_arrays(offsets, pa.array(np.asarray(block_NW, np.float32).ravel()))
        columns: dict[str, Any] = {"id": pa.array(list(ids), pa.string()), column: values}
        if texts is not None:
            columns["text"] = pa.array(texts(ids), pa.string())
        return pa.table(columns)

    def write(sink: Any) -> None:
        writer = None
        for ids, block_NW in blocks:
            made = table(ids, block_NW)
            if writer is None:
                # floats do not compress: the size hardly changes and reading gets slower
                writer = pq.ParquetWriter(sink, made.schema, compression="none", use_dictionary=False)
            writer.write_table(made)
        if writer is not None:
            writer.close()

    return write_out(path, write).bytes


def _format_number(value: float) -> str:
    return f"{value:.9g}"


def format_vespa(name: str, docid: str, vector_D: NDArray[np.float32]) -> str:
    """A put of Vespa's JSON feed; the tensor field is `embedding`."""
    identity = json.dumps(f"id:{name}:{name}::{docid}", ensure_ascii=False)
    return f'{{"put": {identity}, "fields": {{"embedding": {{"values": [{_format_vector(vector_D)}]}}}}}}\n'


def format_opensearch(name: str, docid: str, vector_D: NDArray[np.float32]) -> str:
    """Action and source lines of the OpenSearch bulk API; the knn_vector field is `embedding`."""
    action = json.dumps({"index": {"_index": name, "_id": docid}}, ensure_ascii=False)
    return f'{action}\n{{"embedding": [{_format_vector(vector_D)}]}}\n'


def format_pgvector(name: str, docid: str, vector_D: NDArray[np.float32]) -> str:
    """A row of PostgreSQL's COPY text format: id, tab, pgvector literal."""
    escaped = docid.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    return f"{escaped}\t[{_format_vector(vector_D)}]\n"


def _format_vector(vector_D: NDArray[np.float32]) -> str:
    return ",".join(map(_format_number, vector_D.tolist()))


LINES: dict[str, Callable[[str, str, NDArray[np.float32]], str]] = {
    "vespa": format_vespa,
    "opensearch": format_opensearch,
    "pgvector": format_pgvector,
}


def write_lines(path: Path, format: str, name: str, blocks: Iterable[Block]) -> int:
    """Text for a bulk loader, one document after the other."""
    line = LINES[format]

    def write(sink: Any) -> None:
        for ids, block_ND in blocks:
            sink.write("".join(line(name, i, v) for i, v in zip(ids, block_ND, strict=True)).encode())

    return write_out(path, write).bytes


def link_batches(bundle: Bundle, folder: Path) -> int:
    """METHOD_compressed_batch_0000.npy ... in one folder: hard links to the bundle's files, else copies.

    Raises DataError where batches of another export lie there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digits = max(4, len(str(len(bundle.parts) - 1)))
    names = [f"{bundle.method}_compressed_batch_{number:0{digits}d}.npy" for number in range(len(bundle.parts))]
    if others := {p.name for p in folder.glob("*_compressed_batch_*.npy")} - set(names):
        raise DataError(
            f"{folder}: holds batches of another export, such as {min(others)}", hint="Choose another --out"
        )
    bundle.check()
    total = 0
    for name, part in zip(names, bundle.parts, strict=True):
        link(bundle.folder / part["file"], folder / name)
        total += int(part["bytes"])
    return total


def write_faiss(path: Path, bundle: Bundle, prepare: Callable[[Any], Any] | None = None) -> int:
    """A faiss index file with all codes and the rotation, so that it takes unrotated queries; it searches all lists.

    prepare: puts before the index what queries go through first. DataError where faiss has no index for them.
    """
    make = getattr(bundle.quantizer, "faiss_index", None)
    if make is None:
        raise DataError(
            f"{bundle.folder}: faiss has no index for {bundle.method} codes", hint="--to npy --decoded, or --to parquet"
        )
    outer: Any = prepare(make()) if prepare else make()
    inner = faiss_file.innermost(outer)
    if hasattr(inner, "nlist"):
        inner.nprobe = inner.nlist
    rows_at_once = max(1, _CODES_AT_ONCE // bundle.code_size)

    def write(sink: Any) -> None:
        faiss_file.write(
            sink, path.parent, outer, around, lambda: (codes_NC for _, codes_NC in bundle.blocks(rows_at_once))
        )

    try:
        around = faiss_file.find_layout(outer, bundle.rows)
        return write_out(path, write).bytes
    except RuntimeError as e:
        raise DataError(f"{bundle.folder}: faiss cannot hold these codes ({str(e).splitlines()[0]})") from e


def read_code_blocks(bundle: Bundle) -> Iterator[Block]:
    """Ids and codes of a bundle."""
    ids = iter(bundle.ids)
    for _, codes_NC in bundle.blocks(BLOCK):
        yield [next(ids) for _ in range(len(codes_NC))], codes_NC


def decode_blocks(bundle: Bundle) -> Iterator[Block]:
    """Ids and decoded vectors of a bundle; where queries have a side of their own, those that score raw queries."""
    side = {"side": "query"} if getattr(bundle.quantizer, "has_query_side", False) else {}
    for ids, codes_NC in read_code_blocks(bundle):
        yield ids, bundle.quantizer.decode(codes_NC, **side)
