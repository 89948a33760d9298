"""search.watch_docs: scores of named documents, found or not, are those of the search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressing import compressed, new_run, save_vectors, settings, vectors

from irctl.data.judgements.runs import read_run
from irctl.errors import DataError
from irctl.pipelines.search import search as pipeline
from irctl.pipelines.search.opened import Opened
from irctl.types import Run, Silent


def searched(tmp_path: Path, index: str, watch: str, k: int, reporter: Silent | None = None, **keys: Any) -> dict:
    np.save(tmp_path / "q.npy", vectors(4, seed=7))
    (tmp_path / "watch.tsv").write_text(watch)
    config = settings(**{"search__k": k, "search__watch_docs": tmp_path / "watch.tsv", **keys})
    run = new_run("search", config)
    with run:
        return pipeline.search(
            Opened(index=index),
            config,
            run,
            reporter or Silent(),
            queries=str(tmp_path / "q.npy"),
            out=str(tmp_path / "r.trec"),
        )


def runs(payload: dict[str, Any]) -> tuple[Run, Run]:
    return read_run(Path(payload["run_file"])), read_run(Path(payload["watched"]))


@pytest.mark.parametrize("method", ("", "pq", "sq", "rabitq"))
def test_watched_scores_are_those_of_a_search_that_keeps_everything(tmp_path: Path, method: str) -> None:
    index = str(save_vectors(tmp_path / "x.npy", 700))
    if method:
        index = compressed(index, compress__method=method)["bundle"]
    watch = "0 0 699 1\n0 0 3 0\n0 0 12 2\n3 0 5 1\n"
    few, watched = runs(searched(tmp_path, index, watch, 2))
    every, _ = runs(searched(tmp_path, index, watch, 700))
    assert {q: set(d) for q, d in watched.items()} == {"0": {"699", "3", "12"}, "3": {"5"}}
    assert len(few["0"]) == 2 and all(watched[q][d] == every[q][d] for q in watched for d in watched[q])
    assert list(watched["0"].values()) == sorted(watched["0"].values(), reverse=True)


def test_where_results_are_rescored_so_are_the_watched(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy", 700)
    bundle = compressed(source, compress__method="pq")["bundle"]
    watch = "1 0 33 1\n"
    _, by_vectors = runs(searched(tmp_path, str(source), watch, 5))
    _, by_codes = runs(searched(tmp_path, bundle, watch, 5))
    _, rescored = runs(searched(tmp_path, bundle, watch, 5, search__rerank=50))
    assert rescored == by_vectors != by_codes


def test_other_queries_are_told_and_absent_documents_refused(tmp_path: Path) -> None:
    index, reporter = str(save_vectors(tmp_path / "x.npy", 60)), Silent()
    payload = searched(tmp_path, index, "0 0 1 1\nq9 0 1 1\n", 2, reporter)
    assert payload["watched"].endswith("r.watched.trec.gz")
    assert "1 of its 2 queries are not searched" in reporter.lines[-1]
    with pytest.raises(DataError, match="query 0: no document '60'"):
        searched(tmp_path, index, "0 0 60 1\n", 2)
    with pytest.raises(DataError, match="names none of the 4 queries"):
        searched(tmp_path, index, "q9 0 1 1\n", 2)
    with pytest.raises(DataError, match="no file"):
        searched(tmp_path, index, "", 2, search__watch_docs="missing.tsv")
