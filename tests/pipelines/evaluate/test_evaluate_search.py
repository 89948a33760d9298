"""Evaluating a model or an index: sweeps that are killed and continued, and what is checked along the way."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from toy_evaluations import collection, settings, started

from irctl.config import Config
from irctl.data.judgements.runs import write_run
from irctl.errors import RunFailed
from irctl.ledger.recording import RunHandle
from irctl.pipelines.evaluate import evaluate as pipeline
from irctl.pipelines.evaluate.request import EvalRequest
from irctl.pipelines.search.opened import Opened
from irctl.types import Silent


class FakeSearch:
    """Stands for irctl.pipelines.search: ranks d1, d2, d3 for every query, and counts how often it was asked."""

    def __init__(self, fail_on: str = "") -> None:
        self.asked: list[str] = []
        self.fail_on = fail_on

    def search(
        self,
        opened: Opened,
        config: Config,
        run: RunHandle,
        reporter: Silent,
        *,
        collection: Any,
        out: str,
        measured: bool = False,
    ) -> dict:
        dataset = Path(config.data.source).name
        if dataset == self.fail_on:
            raise RunFailed("killed")
        self.asked.append(f"{dataset} {config.data.split} {config.search.k}")
        depth = 3 if opened.index(config) is None else 1
        ranked = {q: {d: 3.0 - i for i, d in enumerate(("d1", "d2", "d3")[:depth])} for q in ("q1", "q2")}
        write_run(Path(out), ranked, run.id)
        told = {"run_file": out, "dataset": dataset, "split": config.data.split, "method": "dense"}
        return {
            **told,
            "model": opened.model,
            "k": config.search.k,
            "similarity": "dot",
            "boundary_ties": 2,
            "seconds": len(self.asked),
        }


def searched(monkeypatch: pytest.MonkeyPatch, fake: FakeSearch) -> FakeSearch:
    monkeypatch.setitem(sys.modules, "irctl.pipelines.search.search", fake)
    return fake


def test_a_killed_sweep_continues_and_leaves_the_same_eval_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(",".join(str(collection(tmp_path, n)) for n in ("one", "two")))
    whole = started(config)
    searched(monkeypatch, FakeSearch())
    with whole:
        pipeline.evaluate(config, whole, Silent(), EvalRequest(model="m"))
    run = started(config)
    first = searched(monkeypatch, FakeSearch(fail_on="two"))
    with pytest.raises(RunFailed):
        pipeline.evaluate(config, run, Silent(), EvalRequest(model="m"))
    second = searched(monkeypatch, FakeSearch())
    with run:
        pipeline.evaluate(config, run, Silent(), EvalRequest(model="m"))
    assert (first.asked, second.asked) == (["one test 1000"], ["two test 1000"])
    for name in ("eval.json", "per_query.parquet"):
        assert (run.out / name).read_bytes() == (whole.out / name).read_bytes()


def test_a_model_changed_in_place_is_searched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"one")
    config = settings(collection(tmp_path))
    fake = searched(monkeypatch, FakeSearch())
    with started(config) as run:
        for content in (b"one", b"one", b"two"):
            (model / "model.safetensors").write_bytes(content)
            pipeline.evaluate(config, run, Silent(), EvalRequest(model=str(model)))
    assert len(fake.asked) == 2


def test_ties_at_the_cut_are_told_where_a_measure_looks_that_deep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched(monkeypatch, FakeSearch())
    config = settings(collection(tmp_path), "search.k=10")
    with started(config) as run:
        payload = pipeline.evaluate(config, run, Silent(), EvalRequest(model="m"))
    told = [r["measure"] for r in payload["results"] if "boundary" in r]
    assert told == ["nDCG@10", "RR@10"] and "2 ties were cut" in payload["lines"][0]
    assert "toy test R@100: looks at 100 documents, the run holds k = 10" in payload["lines"]


def test_published_values_of_the_model_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched(monkeypatch, FakeSearch())
    config = settings(collection(tmp_path, "scifact"))
    with started(config) as run:
        payload = pipeline.evaluate(
            config, run, Silent(), EvalRequest(model="sentence-transformers/all-MiniLM-L6-v2", oracle=True)
        )
    (check,) = payload["oracles"]
    assert check["value"] == 0.64508 and not check["ok"]
    assert "scifact test nDCG@10" in payload["lines"][-1] and "differs by" in payload["lines"][-1]


def test_the_run_file_is_not_kept_when_it_is_not_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched(monkeypatch, FakeSearch())
    config = settings(collection(tmp_path), "eval.save_run=false")
    with started(config) as run:
        pipeline.evaluate(config, run, Silent(), EvalRequest(model="m"))
    assert not (run.out / "run.trec.gz").exists()
