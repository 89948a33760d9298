"""--dry-run fetches nothing from the hub: what it would need is named, and the plan ends well."""

from __future__ import annotations

import json
import socket
from typing import Any

import huggingface_hub
import pytest
from workspace import Workspace

ONE = {f"{k}_path": f"hf://datasets/mteb/toy@abc/{k}.tsv" for k in ("qrel", "query", "corpus")}
REPOSITORY = "hf://datasets/mteb/toy"


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub and a network that nobody may ask."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the hub was asked")

    def local_only(*args: Any, local_files_only: bool = False, **kwargs: Any) -> Any:
        assert local_files_only, "the hub was asked"
        raise huggingface_hub.errors.LocalEntryNotFoundError("not in the cache")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", local_only)


@pytest.fixture(scope="module")
def suite(place: Workspace) -> Workspace:
    (place.folder / "F.json").write_text(json.dumps({"toy": ONE, "two": {"dev": ONE, "test": ONE}}))
    return place


@pytest.mark.parametrize("data", ["F.json:toy", "F.json:two --split dev,test", REPOSITORY, f"F.json:toy,{REPOSITORY}"])
def test_an_evaluation_of_files_that_the_hub_has_yet_to_give_is_planned_offline(
    suite: Workspace, no_hub: None, data: str
) -> None:
    plan = suite.ok(f"eval --data {data} --dry-run --json").json["plan"]
    names = [name.removeprefix("F.json:") for name in data.split()[0].split(",")]
    assert plan["evaluate"]["data sets"] == 0 and list(plan["not here"]) == names
    assert all("not on this machine yet. The command itself fetches it" in why for why in plan["not here"].values())


def test_data_sets_that_are_here_are_still_counted(suite: Workspace, no_hub: None) -> None:
    plan = suite.ok("eval --data cranfield,F.json:toy --split dev --dry-run --json").json["plan"]
    assert plan["evaluate"]["data sets"] == 1 and plan["cranfield dev"]["queries"] and "toy" in plan["not here"]


@pytest.mark.parametrize(
    "line",
    ["encode", "hardneg --retriever bm25", "search --retriever bm25", "train --negatives none --set data.split=qrel"],
)
def test_other_commands_name_what_is_still_to_be_fetched(suite: Workspace, no_hub: None, line: str) -> None:
    for data in (REPOSITORY, "F.json:toy"):
        plan = suite.ok(f"{line} --data {data} --dry-run --json").json["plan"]
        assert "not on this machine yet" in plan["not on this machine"], data


def test_a_file_of_the_cache_is_read_in_a_dry_run(
    suite: Workspace, no_hub: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"qrel.tsv": "q1 0 d1 1\n", "query.tsv": "q1\ta query\n", "corpus.tsv": "d1\ta document\n"}
    for name, text in files.items():
        (suite.folder / name).write_text(text)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repo, path, **_: str(suite.folder / path))
    plan = suite.ok("eval --data F.json:toy --dry-run --json").json["plan"]
    assert plan["evaluate"]["data sets"] == 1 and "not here" not in plan


def test_a_plan_lists_settings_that_only_trainings_read_of_trainings_alone(place: Workspace) -> None:
    plans = [place.ok(f"{command} --data cranfield --dry-run").out for command in ("train", "encode")]
    assert ["train.epochs = 1.0  (collection cranfield)" in plan for plan in plans] == [True, False]
