"""The ten best documents of every judged query, kept with an evaluation: what compression changed in a ranking.

Reports compare them with those of the uncompressed vectors (overlap@10) without reading run files of 1000 documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from irctl.files import write_atomic
from irctl.types import Run

FILE = "best.parquet"
DEPTH = 10


def make_rows(dataset: str, split: str, ordered: Run, judged: Iterable[str]) -> list[dict[str, Any]]:
    """One row a judged query; without documents where nothing was retrieved. ordered: a run in its one order."""
    return [
        {"dataset": dataset, "split": split, "query_id": q, "documents": list(ordered.get(q, ()))[:DEPTH]}
        for q in judged
    ]


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Parquet (zstd), sorted by data set, split and query id; nothing where there are no rows."""
    import pyarrow as pa
    from pyarrow import parquet

    if not rows:
        return
    schema = pa.schema(
        [
            ("dataset", pa.string()),
            ("split", pa.string()),
            ("query_id", pa.string()),
            ("documents", pa.list_(pa.string())),
        ]
    )
    ordered = sorted(rows, key=lambda r: (r["dataset"], r["split"], r["query_id"]))
    table = pa.Table.from_pylist(ordered, schema=schema)
    write_atomic(path, lambda sink: parquet.write_table(table, sink, compression="zstd"))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows as they were written. DataError where the file is damaged."""
    from pyarrow import parquet

    from irctl.data.files.arrow import reading

    with reading(str(path)):
        rows: list[dict[str, Any]] = parquet.read_table(
            path, columns=["dataset", "split", "query_id", "documents"]
        ).to_pylist()
    return rows


def read(path: Path) -> dict[tuple[str, str], dict[str, list[str]]]:
    """(data set, split) -> query id -> its best documents; empty for an evaluation that did not keep them."""
    best: dict[tuple[str, str], dict[str, list[str]]] = {}
    for row in read_rows(path) if path.is_file() else ():
        best.setdefault((row["dataset"], row["split"]), {})[row["query_id"]] = row["documents"]
    return best
