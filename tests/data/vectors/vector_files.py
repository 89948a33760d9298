"""Vectors and files of them, for the tests of vector streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

N, D = 2500, 6
X = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)
IDS = [f"doc{i}" for i in range(N)]
CUT = 1100  # where the second file of a folder begins


def as_lists(x_ND: np.ndarray, kind: str, dtype: str = "float32") -> pa.Array:
    values = pa.array(x_ND.astype(dtype).reshape(-1))
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(values, x_ND.shape[1])
    offsets = np.arange(0, x_ND.size + 1, x_ND.shape[1])
    if kind == "large":
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def parquet(
    path: Path, x_ND: np.ndarray, ids: list[str] | None, kind: str = "list", dtype: str = "float32", **more: Any
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = ({"docid": pa.array(ids)} if ids else {}) | {"title": pa.array(["t"] * len(x_ND))}
    pq.write_table(pa.table(columns | {"emb": as_lists(x_ND, kind, dtype)} | more), path, row_group_size=700)
    return path
