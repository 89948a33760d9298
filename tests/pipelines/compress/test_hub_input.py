"""Compressing data sets of the hub, by files in the same layout: workers, batches of each file, exact re-scoring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from compressing import DIM, compressed, new_run, settings, vectors

from irctl.data.judgements.runs import read_run
from irctl.errors import ConfigError, DataError
from irctl.index.bundle import open_bundle
from irctl.ledger import query
from irctl.pipelines.references.bundles import load_quantizer
from irctl.pipelines.search import search as pipeline
from irctl.pipelines.search.opened import Opened
from irctl.types import Silent

NAME = "hf://Cohere/set"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A mirror with two files of passages, of 1,200 and 900 rows, each with two columns of vectors."""
    folder = tmp_path / "mirror" / "Cohere" / "set" / "passages_parquet"
    folder.mkdir(parents=True)
    x = vectors(2100)
    for name, rows in (("00", slice(0, 1200)), ("01", slice(1200, 2100))):
        columns: dict[str, Any] = {"docid": [f"d{i}" for i in range(rows.start, rows.stop)]}
        for column, sign in (("emb", 1), ("minus", -1)):
            columns[column] = pa.FixedSizeListArray.from_arrays(pa.array(sign * x[rows].reshape(-1)), DIM)
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", row_group_size=400)
    return tmp_path / "mirror"


def found(bundle: Path, root: Path, query: np.ndarray, folder: Path) -> list[str]:
    np.save(folder / "q.npy", query)
    config = settings(data__root=root, search__k=3, search__rerank=300)
    run = new_run("search", config)
    with run:
        payload = pipeline.search(Opened(index=str(bundle)), config, run, Silent(), queries=str(folder / "q.npy"))
    return list(read_run(Path(payload["run_file"]))["0"])


def test_workers_read_the_column_that_the_name_chooses_and_re_scoring_finds_it_again(
    root: Path, tmp_path: Path
) -> None:
    keys = {"data__root": root, "compress__method": "sq"}
    made = compressed(f"{NAME}/passages#minus", tmp_path / "two", compress__workers=2, **keys)
    assert made["results"][0]["batches"] == 5  # 500 + 500 + 200, 500 + 400: a batch lies in one file
    compressed(f"{NAME}/passages#minus", tmp_path / "one", **keys)
    codes = [
        np.concatenate([c for _, c in open_bundle(tmp_path / n, load_quantizer).blocks(999)]) for n in ("one", "two")
    ]
    assert (codes[0] == codes[1]).all()
    assert found(tmp_path / "two", root, -vectors(2100)[1500:1501], tmp_path)[0] == "d1500"
    manifest = json.loads((tmp_path / "two" / "manifest.json").read_text())
    assert manifest["source"]["name"] == f"{NAME}/passages#minus"


def test_another_column_is_another_input(root: Path, tmp_path: Path) -> None:
    keys = {"data__root": root, "compress__method": "sq"}
    compressed(f"{NAME}#emb", tmp_path / "out", train_only=True, **keys)
    with pytest.raises(ConfigError, match="was begun with source"):
        compressed(f"{NAME}#minus", tmp_path / "out", **keys)
    with pytest.raises(DataError, match="expected one column of lists of floats") as e:
        compressed(NAME, tmp_path / "other", **keys)
    assert "--data SOURCE#" in e.value.hint


def test_the_ledger_calls_the_vectors_by_their_repository(root: Path, tmp_path: Path) -> None:
    compressed(f"{NAME}#emb", tmp_path / "out", data__root=root, compress__method="sq")
    made = query.newest("compress")
    assert made is not None and made.columns["dataset"] == "Cohere/set"


def test_a_hub_that_cannot_be_reached_is_exit_3(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{NAME}: ") as e:
        compressed(NAME, tmp_path / "out", compress__method="sq")
    assert e.value.exit_code == 3 and "data.root" in e.value.hint
