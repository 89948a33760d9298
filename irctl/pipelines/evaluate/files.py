"""Files of an evaluation: eval.json, per_query.parquet. Each appears whole, by rename."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import tables
from irctl.data.files.arrow import open_parquet, reading
from irctl.errors import DataError
from irctl.files import write_atomic
from irctl.pipelines.search.splits import STABLE

if TYPE_CHECKING:
    from irctl.metrics.ranking.evaluate import RankingResult

EVAL, PER_QUERY = "eval.json", "per_query.parquet"
AGAIN = "Evaluate the run again with irctl eval"
TEXTS = ("dataset", "split", "query_id", "measure")
"""Columns of a per-query file that are texts."""
VERSIONS = ("irctl", "ir-measures", "pytrec-eval-terrier", "numpy")


def read_versions() -> dict[str, str]:
    """Versions of what computed the numbers."""
    return {name: version(name) for name in VERSIONS}


def read_json(path: Path) -> dict[str, Any]:
    """Raises DataError if the file is missing or is no JSON object."""
    if not path.exists():
        raise DataError(f"{path}: no evaluation there", hint="Run irctl eval first")
    return tables.json_object(path)


def make_query_rows(dataset: str, split: str, result: RankingResult) -> list[dict[str, Any]]:
    """One row a query and measure."""
    rel = {m.name: m.rel for m in result.measures}
    return [
        {
            "dataset": dataset,
            "split": split,
            "query_id": query_id,
            "measure": measure,
            "value": value,
            "n_relevant": result.n_relevant[rel[measure]][query_id],
            "n_retrieved": result.n_retrieved[query_id],
        }
        for measure, values in result.per_query.items()
        for query_id, value in values.items()
    ]


def write_per_query(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Parquet (zstd), sorted by data set, split, measure, query id, and the part of a run that measured several."""
    import pyarrow as pa
    from pyarrow import parquet

    fields = [
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("query_id", pa.string()),
        ("measure", pa.string()),
        ("value", pa.float64()),
        ("n_relevant", pa.int32()),
        ("n_retrieved", pa.int32()),
    ]
    schema = pa.schema([*fields, *([("part", pa.string())] if any("part" in r for r in rows) else [])])
    ordered = sorted(rows, key=lambda r: (r["dataset"], r["split"], r["measure"], r["query_id"], r.get("part", "")))
    table = pa.Table.from_pylist(ordered, schema=schema)
    write_atomic(path, lambda sink: parquet.write_table(table, sink, compression="zstd"))


def read_rows(path: Path, name: str = "") -> list[dict[str, Any]]:
    """Rows of a per-query file, which errors call `name`. Raises DataError if it is missing or damaged."""
    name = name or str(path)
    if not path.is_file():
        raise DataError(f"{name}: no per-query values", hint=AGAIN)
    file = open_parquet(path, name)
    with reading(name):
        table = file.read(use_threads=False)  # small files, of which a page reads thousands
        table.select([*TEXTS, "value"])  # what every reader needs
    _check_columns(table, name)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _check_columns(table: Any, name: str) -> None:
    """DataError for a column of another type than it was written in, or without a value somewhere."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for column in (*TEXTS, "value"):
        found, text = table[column], column in TEXTS
        fits = (pa.types.is_string, pa.types.is_large_string) if text else (pa.types.is_floating,)
        if not any(is_it(found.type) for is_it in fits):
            wrong = str(found.type)
        elif found.null_count or not (text or pc.all(pc.is_finite(found)).as_py() is not False):
            wrong = "rows without one"
        else:
            continue
        expected = "texts" if text else "finite numbers"
        raise DataError(f"{name}: {column}: expected {expected}, found {wrong}", hint=AGAIN)


def read_per_query(path: Path, name: str = "") -> dict[tuple[str, str, str], dict[str, float]]:
    """(dataset, split, measure) -> query id -> value, of a file that errors call `name`. Raises DataError as above.

    A split of a run that measured several things is one for each of them: `split_of`.
    """
    values: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in read_rows(path, name):
        cell = (row["dataset"], split_of(row["split"], row.get("part") or ""), row["measure"])
        of, query = values.setdefault(cell, {}), row["query_id"]
        if query in of:
            raise DataError(
                f"{name or path}: {' '.join(cell)}: query {query}: expected one value, found two", hint=AGAIN
            )
        of[query] = row["value"]
    return values


def split_of(split: str, part: str) -> str:
    """How the ledger calls a split on which one run measured several things: `dev+test: whiten, cosine`."""
    return f"{split}: {part}" if part else split


def keep_stable(search: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """What eval.json keeps of a search: no times and no absolute paths, so that the same work leaves the same bytes."""
    kept = {k: v for k, v in search.items() if k in STABLE and v is not None}
    if "run_file" not in search:  # recall of exact neighbours leaves no ranking
        return kept
    file = Path(search["run_file"])
    return kept | {"run_file": str(file.relative_to(out)) if file.is_relative_to(out) else str(file)}
