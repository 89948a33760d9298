"""`--split dev+test` and `all`: one mean over the queries of several splits, recorded under the name of the pool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_collections import two_splits
from workspace import Workspace

from irctl.data.collections.open import open_collection
from irctl.data.judgements.runs import read_run
from irctl.errors import DataError
from irctl.ledger import query

# a (dev) finds its document first, b (test) second, c (test) not at all
BETTER = "a Q0 d1 1 2 x\nb Q0 d3 1 2 x\nb Q0 d2 2 1 x\nc Q0 d1 1 1 x\n"
WORSE = "a Q0 d2 1 2 y\na Q0 d1 2 1 y\nb Q0 d3 1 2 y\nc Q0 d1 1 1 y\n"


@pytest.fixture
def runs(place: Workspace) -> Workspace:
    two_splits(place.folder / "toy")
    for name, lines in (("better", BETTER), ("worse", WORSE)):
        (place.folder / f"{name}.trec").write_text(lines)
    return place


def evaluated(place: Workspace, rest: str) -> dict[str, Any]:
    return place.ok(f"eval --data toy --measures RR@10 --json --resume none {rest}").json


def test_a_pool_has_one_mean_over_the_queries_of_its_splits(runs: Workspace) -> None:
    apart = evaluated(runs, "better.trec --split dev,test")["results"]
    assert [(r["split"], r["n_queries"], r["value"]) for r in apart] == [("dev", 1, 1.0), ("test", 2, 0.25)]
    for asked in ("dev+test", "test+dev", "all"):
        pooled = evaluated(runs, f"better.trec --split {asked}")
        (one,) = pooled["results"]
        assert (one["split"], one["n_queries"], one["value"]) == ("dev+test", 3, 0.5)
    run = query.find_run(pooled["run"])
    assert json.loads((run.folder / "out" / "eval.json").read_text())["results"][0]["split"] == "dev+test"
    assert [(m["split"], m["value"]) for m in query.measures(run.id) if m["name"] == "RR@10"] == [("dev+test", 0.5)]


def test_a_pool_is_one_paired_test(runs: Workspace) -> None:
    worse = evaluated(runs, "worse.trec --split dev+test")
    (test,) = evaluated(runs, f"better.trec --split dev+test --baseline {worse['run']}")["comparisons"]
    assert (test["split"], test["n"]) == ("dev+test", 3)
    assert test["delta"] == pytest.approx(1 / 2 - 1 / 6)


def test_a_report_knows_a_pool_by_either_order_and_as_all(runs: Workspace) -> None:
    evaluated(runs, "better.trec --split dev,test")
    evaluated(runs, "better.trec --split dev+test")
    for asked in ("dev+test", "test+dev", "all"):
        told = runs.ok(f"report --dataset toy --split {asked} --measures RR@10").out
        assert "50.0" in told and "25.0" not in told and "dev+test" in told


def test_a_search_of_a_pool_writes_one_run_file_which_is_evaluated_as_it(runs: Workspace) -> None:
    made = runs.ok("search --retriever bm25 --data toy --split all -k 2 --json").json
    assert (made["split"], made["queries"], list(read_run(Path(made["run_file"])))) == ("dev+test", 3, ["a", "b", "c"])
    (one,) = runs.ok(f"eval {made['run']} --measures RR@10 --json").json["results"]
    assert (one["split"], one["n_queries"], one["value"]) == ("dev+test", 3, 1.0)
    several = runs.ok("search --retriever bm25 --data toy --split test+dev,test -k 2 --json").json
    assert [Path(f).name for f in several["run_files"]] == ["run.dev+test.trec.gz", "run.test.trec.gz"]


def test_a_model_searches_a_pool(runs: Workspace) -> None:
    (pooled,) = evaluated(runs, "--model sentence-transformers/all-MiniLM-L6-v2 --split dev+test")["results"]
    apart = evaluated(runs, "--model sentence-transformers/all-MiniLM-L6-v2 --split dev,test")["results"]
    assert pooled["value"] == pytest.approx(sum(r["value"] * r["n_queries"] for r in apart) / 3)


def test_a_query_in_two_splits_counts_once_and_is_refused_where_they_judge_it_otherwise(tmp_path: Path) -> None:
    same = {"dev": {"a": {"d1": 1}}, "test": {"a": {"d1": 1}, "b": {"d2": 1}}}
    assert len(open_collection(str(two_splits(tmp_path / "same", same))).queries("dev+test")) == 2
    other = {"dev": {"a": {"d1": 1}}, "test": {"a": {"d1": 2}, "b": {"d2": 1}}}
    collection = open_collection(str(two_splits(tmp_path / "other", other)))
    with pytest.raises(DataError, match=r"dev\+test: query 'a' stands in dev and in test with different judgements"):
        collection.qrels("all")


def test_a_pool_names_splits_that_are_there(tmp_path: Path) -> None:
    collection = open_collection(str(two_splits(tmp_path / "toy")))
    assert collection.split_named("dev") == "dev" and collection.split_named("test + dev") == "dev+test"
    for wrong in ("dev+tset", "tset", "dev+", "+"):
        with pytest.raises(DataError, match="no split"):
            collection.split_named(wrong)


def test_splits_of_different_measures_are_not_pooled_by_chance(runs: Workspace) -> None:
    two_splits(runs.folder / "mixed")
    (runs.folder / "mixed" / "card.toml").write_text(
        'name = "mixed"\nheadline = { split = "test" }\nmeasures = { dev = "trec-dl", test = "msmarco" }\n'
    )
    refused = runs.run("eval better.trec --data mixed --split dev+test")
    assert refused.code == 2 and "its splits have different measures" in refused.err
    assert runs.ok("eval better.trec --data mixed --split dev+test --measures RR@10 --json").json["results"]
