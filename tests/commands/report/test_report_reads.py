"""What a report asks the ledger and reads from disk does not grow with the runs that it is about."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from irctl.config import from_sets, resolve
from irctl.index import shards
from irctl.ledger import query
from irctl.ledger.recording import RunHandle, start_run
from irctl.pipelines.evaluate import files as store
from irctl.pipelines.lineage import codes
from irctl.pipelines.report import page, report
from irctl.pipelines.report.report import Wanted
from irctl.reports.page import page as drawing
from irctl.reports.page.payload import RunDetail

Read = tuple[str, Any, str]
"""(kind, path, sha256)."""


def compression(reads: Read | None = None) -> RunHandle:
    run = start_run(command="compress", argv=["irctl", "compress"], config=resolve(from_sets(["compress.method=pq"])))
    with run:
        (run.out / shards.MANIFEST).write_text(json.dumps({"method": "pq", "about": {"model": "m"}}))
        if reads:
            run.artifact("in", *reads[:2], sha256=reads[2])
        run.artifact("out", "bundle", run.out, sha256=run.id)
    return run


def evaluation(of: RunHandle, also: Read | None = None) -> RunHandle:
    place = {"dataset": "cranfield", "split": "test"}
    result = {**place, "measure": "nDCG@10", "value": 0.5, "n_queries": 1, "n_missing": 0}
    result |= {"self_match": "keep", "qrels_sha256": "q"}
    run = start_run(command="eval", argv=["irctl", "eval"], config=resolve({}), dataset="cranfield")
    with run:
        run.artifact("in", "bundle", of.out, sha256=of.id)
        if also:
            run.artifact("in", *also[:2], sha256=also[2])
        (run.out / store.EVAL).write_text(json.dumps({"results": [result], "searches": [{**place, "method": "dense"}]}))
    return run


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the ledger was asked, and manifests read."""
    calls: Counter[str] = Counter()

    def counting(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any) -> Any:
            calls[name] += 1
            return work(*args)

        return count

    monkeypatch.setattr(query, "ask", counting("asked", query.ask))
    monkeypatch.setattr(codes, "read_any_manifest", counting("manifests", codes.read_any_manifest))
    return calls


@pytest.mark.parametrize("table", ["main", "compression"])
def test_evaluations_of_one_bundle_read_its_manifest_once_and_ask_no_more_than_one_does(
    table: str, own_folders: Any, counted: Counter[str]
) -> None:
    of, wanted = compression(), Wanted(table=table, group_by="run")
    evaluation(of)
    counted.clear()
    report.make_tables(wanted)
    alone = dict(counted)
    assert alone["manifests"] == 1
    evaluation(of), evaluation(of)
    counted.clear()
    report.make_tables(wanted)
    assert dict(counted) == alone


def test_the_page_of_many_runs_asks_the_ledger_no_more_than_that_of_one(
    own_folders: Any, counted: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_draw", lambda *_: [])
    of, wanted = compression(), Wanted(group_by="run")
    told = []
    for _ in range(2):
        evaluation(of)
        tables = report.make_tables(wanted)
        counted.clear()
        page.make_page(tables, wanted, target=None, mask=str)
        told.append(counted["asked"])
    assert told[0] == told[1]


def test_what_is_found_while_many_runs_are_asked_for_is_forgotten_after() -> None:
    from irctl.ledger import many_runs

    values = iter(range(9))
    with many_runs.at_once([]):
        assert [query.once("a", lambda: next(values)), query.once("a", lambda: next(values))] == [0, 0]
        assert query.once("b", lambda: next(values)) == 1
    assert query.once("a", lambda: next(values)) == 2


def test_inputs_in_the_panel_are_called_by_the_run_that_made_them(own_folders: Any, monkeypatch: Any) -> None:
    """They were called `out` and `model`, like those of every other run, or by a number of the cache."""
    described: dict[str, RunDetail] = {}
    monkeypatch.setattr(drawing, "render", lambda *_, runs, **__: described.update(runs) or "")
    monkeypatch.setattr(page, "_draw", lambda *_: [])
    encode = start_run(command="encode", argv=["irctl", "encode"], config=resolve({}), model="a/b")
    with encode:
        encode.artifact("in", "model", "/cache/snapshots/9f8e", sha256="m")
        encode.artifact("out", "embeddings", "/cache/emb/1e7a", sha256="e")
    of = compression(reads=("embeddings", "/cache/emb/1e7a", "e"))
    mined = start_run(command="hardneg", argv=["irctl", "hardneg"], config=resolve({}))
    with mined:
        (mined.out / "negatives.jsonl").write_text("{}")
        mined.artifact("out", "negatives", mined.out / "negatives.jsonl", sha256="n")
    run = evaluation(of, also=("negatives", mined.out / "negatives.jsonl", "n"))
    wanted = Wanted(group_by="run")
    page.make_page(report.make_tables(wanted), wanted, target=None, mask=str)
    named = {i: [name for _, name, _ in r.inputs] for i, r in described.items()}
    assert named[run.id] == [f"run {of.id} (compress)", f"out/negatives.jsonl of run {mined.id} (hardneg)"]
    assert named[of.id] == [f"run {encode.id} (encode)"] and named[encode.id] == ["a/b"]


def test_an_evaluation_lists_no_settings_that_trainings_alone_read() -> None:
    of_all = {"batch.global": ("8", "collection cranfield"), "train.epochs": ("1.0", "collection cranfield")}
    of_all |= {"search.k": ("10", "--set"), "loss.name": ("ws2", "option --loss"), "train.lr": ("0", "default")}
    text = json.dumps({k: {"value": value, "origin": origin} for k, (value, origin) in of_all.items()})
    assert [k for k, _, _ in page._chosen(text, "train")] == ["batch.global", "train.epochs", "search.k", "loss.name"]
    assert [k for k, _, _ in page._chosen(text, "eval")] == ["search.k", "loss.name"]  # typed, though without effect
