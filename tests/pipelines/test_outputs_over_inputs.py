"""No command writes its output over a file that it reads: the input would be gone and the run not repeatable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressing import compressed, new_run, save_vectors, settings
from toy_collections import beir_folder

from irctl.errors import ConfigError, DataError
from irctl.ledger import query
from irctl.pipelines import outputs
from irctl.pipelines.export import export
from irctl.pipelines.hardneg import hardneg
from irctl.pipelines.search import bm25, fuse, search
from irctl.pipelines.search.opened import Opened
from irctl.types import Silent

QUIET = Silent()


def refused(file: Path, work: Callable[[Any], object], found: str = "found an input of this run") -> None:
    before, run = file.read_bytes(), new_run("search", settings())
    with pytest.raises(DataError, match=found), run:
        work(run)
    assert file.read_bytes() == before


def test_neither_query_vectors_nor_codes_nor_run_files_are_written_over(tmp_path: Path) -> None:
    q = save_vectors(tmp_path / "q.npy", 3)
    bundle = compressed(save_vectors(tmp_path / "x.npy", 900), tmp_path / "bundle")["bundle"]
    part = next((tmp_path / "bundle" / "codes").iterdir())
    config = settings(search__k=5)
    refused(q, lambda r: search.search(Opened(index=bundle), config, r, QUIET, queries=str(q), out=str(q)))
    refused(
        part,
        lambda r: export.export(config, r, QUIET, export.ExportRequest(source=bundle, to="npy", out=str(part))),
        "found a place in",
    )
    ranks = tmp_path / "a.trec"
    with new_run("search", config) as run:
        search.search(Opened(index=bundle), config, run, QUIET, queries=str(q), out=str(ranks))
    refused(ranks, lambda r: fuse.fuse(r, 5, how="rrf", run_files=[str(ranks)] * 2, out=str(ranks)))


def test_query_vectors_are_recorded_with_their_content(tmp_path: Path) -> None:
    q = save_vectors(tmp_path / "q.npy", 3)
    bundle = compressed(save_vectors(tmp_path / "x.npy", 900))["bundle"]
    with new_run("search", settings(search__k=5)) as run:
        search.search(Opened(index=bundle), settings(search__k=5), run, QUIET, queries=str(q))
    (told,) = query.artifacts(query.find_run(run.id), role="in", kind="queries")
    assert told["path"] == str(q) and told["n_rows"] == 3 and len(told["sha256"]) == 64


def test_files_of_the_collection_are_not_written_over(tmp_path: Path) -> None:
    documents, queries = ({f"{kind}{i}": f"wing flow {i}" for i in range(9)} for kind in "cq")
    collection = beir_folder(tmp_path / "toy", documents, queries, test={"q1": {"c1": 1}})
    config = settings(data__source=str(collection), data__split="test", search__k=5)
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        file = collection / name
        if name.startswith("qrels"):
            asked = hardneg.MiningRequest(out=str(file), forced=True)
            refused(file, lambda r, asked=asked: hardneg.hardneg(config, r, QUIET, asked))
        else:
            refused(file, lambda r, f=file: bm25.search(config, r, QUIET, out=str(f)))


def test_a_folder_of_arrays_of_any_type_is_no_place_for_outputs_and_one_of_codes_is(tmp_path: Path) -> None:
    for dtype in ("int8", "uint8", "float64"):
        (tmp_path / dtype).mkdir()
        np.save(tmp_path / dtype / "x.npy", np.ones((4, 3), dtype))
        with pytest.raises(ConfigError, match=r"found vectors there \(x\.npy\)"):
            outputs.check(tmp_path / dtype)
    (tmp_path / "codes").mkdir()
    np.save(tmp_path / "codes" / "pq_compressed_batch_0000.npy", np.ones((4, 3), np.uint8))
    outputs.check(tmp_path / "codes")
