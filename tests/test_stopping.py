"""A signal ends work that has no steps where it is, and what is in steps at the next one."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irctl import paths, stopping
from irctl.config import resolve
from irctl.data.collections.open import open_collection
from irctl.data.files.made_once import make_once
from irctl.errors import Stopped
from irctl.index import scan
from irctl.index.rerank import rerank
from irctl.pipelines.search import bm25
from irctl.pipelines.train.trial import elsewhere
from irctl.quantizers.pq import Config as PqConfig
from irctl.quantizers.pq import Quantizer

WITHIN_S = 20.0  # far below what the work would take; the machine may be busy


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    stopping.install()
    yield
    stopping.restore()


def terminate(*args: Any, **named: Any) -> None:
    signal.raise_signal(signal.SIGTERM)


def terminate_soon(when: Callable[[], bool]) -> None:
    def wait() -> None:
        while not when():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def test_a_signal_to_a_process_and_its_group_is_one() -> None:
    terminate()
    terminate()  # a second one ends the process, but not within half a second
    assert stopping.requested()


def test_at_once_raises_where_the_work_is_and_only_there() -> None:
    reached = []
    with (
        pytest.raises(Stopped, match="two are kept"),
        stopping.at_once("one is kept"),
        stopping.at_once("two are kept"),
    ):
        terminate()
        reached.append("inside")
    assert not reached
    stopping.forget()
    terminate()
    reached.append("outside")
    with pytest.raises(Stopped, match="one is kept"), stopping.at_once("one is kept"):
        reached.append("not begun")
    assert reached == ["outside"]


def test_k_means_ends_in_the_round_in_hand() -> None:
    x_ND = np.random.default_rng(0).standard_normal((20_000, 16)).astype(np.float32)
    started = time.monotonic()
    terminate_soon(lambda: time.monotonic() - started > 0.5)
    with pytest.raises(Stopped), stopping.at_once("nothing is kept"):
        for _ in range(100):
            Quantizer(PqConfig(m=2), 16, "ip", 0).fit(x_ND)
    assert time.monotonic() - started < WITHIN_S


def test_who_waits_for_another_process_to_make_a_thing_can_be_stopped() -> None:
    (paths.cache() / "things").mkdir(parents=True)
    with (paths.cache() / "things" / f".{'k' * 32}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        started = time.monotonic()
        terminate_soon(lambda: time.monotonic() - started > 0.2)
        with pytest.raises(Stopped, match="nothing of"):
            make_once("things", "k" * 40, lambda folder: {})


def test_making_a_thing_leaves_nothing_half_made() -> None:
    with pytest.raises(Stopped):
        make_once("things", "k" * 40, lambda folder: terminate() or {})
    assert [p.name for p in (paths.cache() / "things").iterdir()] == [f".{'k' * 32}.lock"]
    stopping.forget()
    assert make_once("things", "k" * 40, lambda folder: {}).is_dir()


def test_an_index_of_bm25_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import bm25s

    monkeypatch.setattr(bm25s, "tokenize", terminate)
    with pytest.raises(Stopped, match="nothing of a BM25 index is kept"):
        bm25.build_index(open_collection("cranfield").corpus, resolve().search)


class OneBlock:
    """Vectors of ones in one block."""

    rows, dim = 4, 2

    def blocks(self, size: int, start: int, stop: int) -> Iterator[Any]:
        from irctl.types import VectorBlock

        yield VectorBlock(0, None, np.ones((4, 2), np.float32))


def test_of_many_queries_a_search_stops_inside_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    score, calls = scan.score_rows, []

    def scored(*given: Any) -> Any:
        calls.append(1)
        terminate()
        return score(*given)

    monkeypatch.setattr(scan, "score_rows", scored)
    with pytest.raises(Stopped, match="nothing of a search is kept"):
        scan.search_vectors(np.ones((3 * scan.QUERIES, 2), np.float32), OneBlock(), 2, "ip")  # type: ignore[arg-type]
    assert len(calls) == 1


def test_rescoring_stops_between_two_fetches() -> None:
    taken = []

    def take(rows: Any) -> Any:
        taken.append(len(rows))
        terminate()
        return np.ones((len(rows), 2), np.float32)

    with pytest.raises(Stopped):
        rerank(np.ones((100, 2), np.float32), np.zeros((100, 3), np.int64), take, 2, "ip")
    assert len(taken) == 1


def test_a_trial_that_is_stopped_leaves_no_folder_behind() -> None:
    folders: list[Path] = []
    with pytest.raises(Stopped), elsewhere():
        folders.append(paths.runs())
        (paths.runs() / "run").mkdir()
        terminate()
    assert folders and not folders[0].exists() and folders[0] != paths.runs()
