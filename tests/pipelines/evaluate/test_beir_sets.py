"""`irctl eval --data beir-18` and its like: closed sets are named, nothing is averaged over fewer, sets are resumed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from toy_collections import two_splits
from workspace import Workspace

from irctl import paths
from irctl.data.collections import cards
from irctl.pipelines.evaluate import rankings

CLOSED = ["beir/bioasq", "beir/robust04", "beir/signal1m", "beir/trec-news"]


def put(names: Sequence[str]) -> None:
    """Small folders that stand for BEIR's, each with words of its own."""
    for name in (cards.key_of(member) or member for member in cards.expand(names)):  # where fetched ones lie
        if not (folder := paths.cache() / "collections" / name).is_dir():
            two_splits(folder, word=folder.name)


@pytest.mark.slow
def test_public_sets_are_evaluated_and_closed_ones_named_without_an_average(place: Workspace) -> None:
    put([n for n in cards.groups()["beir-18"] if n not in CLOSED])
    plan = place.ok("eval --model all-MiniLM-L6-v2 --data beir-18 --dry-run --json").json
    assert sorted(plan["plan"]["not here"]) == CLOSED
    done = place.run("eval --model all-MiniLM-L6-v2 --data beir-18 --measures nDCG@10 --json")
    assert done.code == 5
    payload = next(p for p in map(json.loads, done.out.splitlines()) if "results" in p)
    assert payload["average"]["missing"] == CLOSED and payload["average"]["values"] == {"nDCG@10": None}
    assert len(payload["average"]["datasets"]) == 14 and "cqadupstack test" in payload["average"]["datasets"]
    fetched = place.run("data fetch beir-18 --json")
    assert fetched.code == 5 and "4 left out: beir/bioasq: not to be downloaded" in fetched.err


def test_a_closed_set_by_its_own_name_and_a_public_one_that_is_missing_stop_before_any_work(place: Workspace) -> None:
    put([n for n in cards.groups()["beir-15"] if n != "beir/msmarco"])
    for line, said in (
        ("scifact,beir/bioasq", "1 of 2 data sets cannot be used: bioasq (not public"),
        ("beir-15", "msmarco (not on this machine)"),
    ):
        done = place.run(f"eval --model all-MiniLM-L6-v2 --data {line}")
        assert done.code == 3 and said in done.err, done.err
    assert "irctl data fetch beir-15" in place.run("eval --model all-MiniLM-L6-v2 --data beir-15").err


def test_a_sweep_that_was_killed_goes_on_with_the_next_set_and_gives_what_one_that_was_not_does(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(["scifact", "nfcorpus", "fiqa"])
    line = "eval --model all-MiniLM-L6-v2 --data scifact,nfcorpus,fiqa --json"
    measured, killed = rankings._measure_target, list[str]()

    def measure(target: rankings.Target, job: Any, *, alone: bool) -> Any:
        if target.dataset == "fiqa" and not killed:
            killed.append("once")
            raise KeyboardInterrupt
        return measured(target, job, alone=alone)

    monkeypatch.setattr(rankings, "_measure_target", measure)
    assert place.run(line).code == 130
    done = place.ok(line)
    assert done.err.count("evaluated already") == 2 and "searching fiqa" in done.err
    whole = place.ok(f"{line} --resume none")
    assert whole.err.count("searching") == 3
    assert [done.json[k] for k in ("results", "average")] == [whole.json[k] for k in ("results", "average")]


@pytest.mark.slow
def test_all_is_every_public_set_on_disk_and_the_average_lists_them(place: Workspace) -> None:
    put(["scifact", "nfcorpus"])
    done = place.ok("eval --model all-MiniLM-L6-v2 --data all --measures nDCG@10 --json").json
    assert {"cranfield test", "scifact test", "nfcorpus test"} <= set(done["average"]["datasets"])
    assert done["average"]["values"]["nDCG@10"] == pytest.approx(
        sum(r["value"] for r in done["results"] if "/" not in r["dataset"]) / len(done["average"]["datasets"])
    )
