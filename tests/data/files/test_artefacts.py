"""Cached artefacts: made once, whole or not there, whoever asks and whatever dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import folders
import pytest

from irctl import paths
from irctl.data.files import made_once
from irctl.data.texts.store import open_texts
from irctl.errors import EnvironmentUnfit


def _count(made: Path, slow_s: float) -> dict[str, Any]:
    def make(work: Path) -> dict[str, Any]:
        with made.open("a") as file:
            file.write("x")
        time.sleep(slow_s)
        (work / "data").write_text("whole")
        return {"n": 1}

    folder = made_once.make_once("kind", "k" * 64, make)
    assert (folder / "data").read_text() == "whole"
    return made_once.read_manifest(folder)


def test_processes_that_ask_at_once_make_it_once(tmp_path: Path) -> None:
    made = tmp_path / "made"
    with multiprocessing.get_context("fork").Pool(4) as pool:
        found = pool.starmap(_count, [(made, 0.1)] * 4)
    assert found == [{"n": 1}] * 4 and made.read_text() == "x"


def test_a_killed_maker_leaves_nothing_that_is_read(tmp_path: Path) -> None:
    made = tmp_path / "made"
    process = multiprocessing.get_context("fork").Process(target=_count, args=(made, 60.0))
    process.start()
    while not made.exists():
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    left = [p for p in (paths.cache() / "kind").iterdir() if p.is_dir()]
    assert len(left) == 1 and left[0].name.startswith(".")
    assert _count(made, 0.0) == {"n": 1}
    assert [p.name for p in (paths.cache() / "kind").iterdir() if p.is_dir()] == ["k" * 32]


def test_a_file_of_equal_content_elsewhere_shares_the_store_but_not_the_name(tmp_path: Path) -> None:
    a = folders.jsonl(tmp_path / "a/corpus.jsonl", [{"_id": "x", "text": "t"}])
    b = folders.jsonl(tmp_path / "b/corpus.jsonl", [{"_id": "x", "text": "t"}])
    first, second = open_texts(a), open_texts(b)
    assert first.folder == second.folder and second.source == str(b)


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IRCTL_CACHE", str(tmp_path / "file"))
    path = folders.jsonl(tmp_path / "corpus.jsonl", [{"_id": "x", "text": "t"}])
    with pytest.raises(EnvironmentUnfit, match="IRCTL_CACHE"):
        open_texts(path)
