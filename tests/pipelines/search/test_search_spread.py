"""One search in several processes: ids, scores and ties of one, for vectors and codes; failures and signals."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressing import compressed, new_run, settings, vectors
from threadpoolctl import threadpool_limits

from irctl import stopping
from irctl.data.judgements.runs import read_run
from irctl.errors import DataError, Stopped
from irctl.index import scan
from irctl.index.scoring import score_rows
from irctl.pipelines.search import opened_index, spread
from irctl.pipelines.search import search as pipeline
from irctl.pipelines.search.opened import Opened
from irctl.types import Silent

ROWS = 2100


def tied(path: Path) -> Path:
    """Every vector three times, 700 rows apart: each share of four holds rows that tie with others'."""
    np.save(path, np.concatenate([vectors(ROWS // 3)] * 3))
    return path


def searched(tmp_path: Path, index: Path | str, processes: int, **keys: Any) -> tuple[dict[str, Any], bytes]:
    """(payload, lines of the run file without its tag) of a search with 50 queries and blocks of 256 rows."""
    np.save(tmp_path / "q.npy", vectors(50, seed=7))
    config = settings(search__k=40, search__block=256, hardware__devices=processes, **keys)
    run = new_run("search", config)
    with run:
        payload = pipeline.search(Opened(index=str(index)), config, run, Silent(), queries=str(tmp_path / "q.npy"))
    found = read_run(Path(payload["run_file"]))
    return payload, "".join(f"{q} {d} {s!r}\n" for q, docs in found.items() for d, s in docs.items()).encode()


@pytest.mark.parametrize("method", ("", "pq"))
def test_one_two_and_four_processes_find_the_same_ids_scores_and_ties(tmp_path: Path, method: str) -> None:
    index: Path | str = tied(tmp_path / "x.npy")
    if method:
        index = compressed(index, compress__method=method)["bundle"]
    payloads, runs = zip(*(searched(tmp_path, index, n) for n in (1, 2, 4)), strict=True)
    assert runs[0] == runs[1] == runs[2] and runs[0].count(b"\n") == 50 * 40
    ties = [p["boundary_ties"] for p in payloads]
    assert ties == [ties[0]] * 3 and ties[0] > 0


def test_the_ids_are_those_of_a_sort_of_every_score(tmp_path: Path) -> None:
    index = tied(tmp_path / "x.npy")
    found = read_run(Path(searched(tmp_path, index, 3)[0]["run_file"]))
    scores_QN = score_rows(vectors(50, seed=7), np.load(index), "ip")
    rows_Qk = np.argsort(-scores_QN, axis=1, kind="stable")[:, :40]
    expected = {str(q): {str(r) for r in rows} for q, rows in enumerate(rows_Qk)}
    assert {q: set(docs) for q, docs in found.items()} == expected


def test_rescored_codes_do_not_depend_on_the_processes_either(tmp_path: Path) -> None:
    bundle = compressed(tied(tmp_path / "x.npy"), compress__method="pq")["bundle"]
    assert searched(tmp_path, bundle, 1, search__rerank=200)[1] == searched(tmp_path, bundle, 2, search__rerank=200)[1]


@pytest.mark.parametrize("rows", (1, 255, 256, 257, 5000))
@pytest.mark.parametrize("count", (1, 2, 7))
def test_shares_are_whole_blocks_that_cover_every_row_once(rows: int, count: int) -> None:
    shares = [scan.share(rows, 256, i, count) for i in range(count)]
    assert shares[0][0] == 0 and shares[-1][1] == rows
    assert all(a[1] == b[0] for a, b in itertools.pairwise(shares))
    assert all(start % 256 == 0 or start == rows for start, _ in shares)


def test_no_process_is_started_for_less_than_a_block(tmp_path: Path) -> None:
    opened = opened_index.open_index(str(tied(tmp_path / "x.npy")), settings())
    counts = [spread.count_processes(opened.rows, 4, b) for b in (100, 1000, 4000)]
    assert counts == [4, 3, 1]


@pytest.mark.parametrize("given", ("", "4,2"))
def test_the_threads_are_what_the_shares_found_whatever_the_environment_says(
    tmp_path: Path, given: str, shares_here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    index = tied(tmp_path / "x.npy")
    with threadpool_limits(3):  # as hardware.omp_threads sets it for the processes
        assert searched(tmp_path, index, 2)[0]["timed_threads"] == 6
        assert searched(tmp_path, index, 1)[0]["timed_threads"] == 3
    assert shares_here == ["search_share:2"]


def test_vectors_without_a_file_are_opened_by_name_in_every_process(tmp_path: Path) -> None:
    name = "synthetic:3000,32,0.5"
    assert searched(tmp_path, name, 2)[1] == searched(tmp_path, name, 1)[1]


def opened(tmp_path: Path, processes: int) -> tuple[Any, Any]:
    config = settings(search__block=256, hardware__devices=processes)
    return opened_index.open_index(str(tied(tmp_path / "x.npy")), config), config


def test_a_process_that_fails_is_the_one_line_of_the_error(tmp_path: Path) -> None:
    index, config = opened(tmp_path, 2)
    np.save(tmp_path / "x.npy", vectors(ROWS, seed=3))  # another content under the name that is searched
    os.utime(tmp_path / "x.npy", ns=(1, 1))
    with pytest.raises(DataError, match=r"x\.npy: changed while it was searched") as e:
        spread.search(index, vectors(5), 10, config, tmp_path, Silent())
    assert "\n" not in str(e.value) and not list(tmp_path.glob(".search-*"))


def test_a_signal_ends_every_process_and_leaves_no_half_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "SHARE", f"{__name__}:endless")
    index, config = opened(tmp_path, 2)
    stopping.install()

    def interrupt() -> None:
        while len(list(tmp_path.glob("pid-*"))) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt, daemon=True).start()
    helpers = str(Path(__file__).parents[1])
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), helpers, os.environ.get("PYTHONPATH", "")])
    )
    monkeypatch.setenv("PIDS", str(tmp_path))
    with pytest.raises(Stopped, match="SIGTERM"):
        spread.search(index, vectors(5), 10, config, tmp_path, Silent())
    for file in tmp_path.glob("pid-*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.name.removeprefix("pid-")), 0)
    assert not list(tmp_path.glob(".search-*"))


def endless(job: dict[str, Any], index: int, count: int) -> dict[str, Any]:
    """A share that scans one block over and over until it is asked to stop."""
    (Path(os.environ["PIDS"]) / f"pid-{os.getpid()}").touch()
    while True:
        stopping.check("nothing")
        time.sleep(0.05)
