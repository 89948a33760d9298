"""A collection as train.json and dev.json of {query, positive, negative}: what is in them, and that they open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import folders
import pytest
from toy_collections import beir_folder

from irctl.data.collections.convert import convert_collection
from irctl.data.collections.open import open_collection
from irctl.data.collections.to_pairs import PairOptions
from irctl.errors import ConfigError, DataError


def pairs(folder: Path, source: str = "cranfield", **options: Any) -> dict[str, list[dict[str, str]]]:
    convert_collection(open_collection(source), folder, "pairs", PairOptions(**options))
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in ("train", "dev")}


def test_every_judged_positive_is_a_pair_and_the_files_are_read_back(tmp_path: Path) -> None:
    made, source = pairs(tmp_path / "out"), open_collection("cranfield")
    texts = dict(source.queries("train").items())
    judged = {
        (texts[q], source.corpus.texts([source.corpus.row(d)])[0].strip())
        for q in texts
        for d in source.qrels("train")[q]
    }
    assert {(p["query"], p["positive"]) for p in made["train"]} == {pair for pair in judged if pair[1]}
    again = open_collection(str(tmp_path / "out/train.json"))
    assert again.splits() == ("train", "dev") and len(again.qrels("dev")) == 45


def test_pairs_are_cut_split_and_given_mined_negatives(tmp_path: Path) -> None:
    mined = tmp_path / "mined.jsonl"
    first = next(iter(open_collection("cranfield").qrels("train")))
    folders.jsonl(mined, [{"qid": first, "docid": ["700", "701"], "score": [2, 1]}])
    made = pairs(tmp_path / "out", negatives=str(mined), max_train=3, max_dev=2, split_ratio=0.9)
    assert [len(rows) for rows in made.values()] == [3, 2]
    whole = pairs(tmp_path / "whole", negatives=str(mined), split_ratio=0.9)
    asked = [{p["query"] for p in rows} for rows in whole.values()]
    assert [len(a) for a in asked] == [122, 13] and not asked[0] & asked[1]  # of 135
    own = [p["negative"] for p in (*whole["train"], *whole["dev"]) if "negative" in p]
    assert len(own) > 2 and len(set(own)) == 2 and own[0] == own[2] != own[1]


def test_what_the_reader_of_pairs_refuses_is_left_out_and_counted(tmp_path: Path) -> None:
    documents = {"d1": "wing", "d2": " ", "d3": "heat"}
    queries = {"a": "lift", "b": "", "c": "wing ", "d": " lift", "e": "flow"}
    judged = {q: {"d1": 1} for q in "abc"} | {"e": {"d2": 1, "d3": 1}}
    source = beir_folder(tmp_path / "toy", documents, queries, train=judged, dev={"d": {"d3": 1}, "a": {"d2": 1}})
    said = convert_collection(open_collection(str(source)), tmp_path / "out", "pairs")
    assert json.loads((tmp_path / "out/train.json").read_text()) == [
        {"query": "lift", "positive": "wing"}, {"query": "flow", "positive": "heat"}
    ]  # fmt: skip
    assert said["files"]["train"] == {"pairs": 2, "negatives": 0, "left out": 3}
    assert said["files"]["dev"] == {"left out": 1, "left out, of queries in train.json": 1}
    assert said["splits"] == ["train"] and not (tmp_path / "out/dev.json").exists()
    assert open_collection(str(tmp_path / "out/train.json")).splits() == ("train",)


def test_a_ratio_that_leaves_no_query_for_dev_writes_no_dev_and_nothing_to_train_on_is_an_error(tmp_path: Path) -> None:
    said = convert_collection(open_collection("cranfield"), tmp_path / "out", "pairs", PairOptions(split_ratio=0.999))
    assert said["splits"] == ["train"] and [p.name for p in (tmp_path / "out").iterdir()] == ["train.json"]
    assert open_collection(str(tmp_path / "out/train.json")).splits() == ("train",)
    source = beir_folder(tmp_path / "toy", {"d1": "wing"}, {"a": "wing"}, train={"a": {"d1": 1}})
    with pytest.raises(DataError, match=r"no pair for train.json: no positive of split train is a text"):
        convert_collection(open_collection(str(source)), tmp_path / "none", "pairs")
    assert not (tmp_path / "none").exists()


def test_what_is_no_ratio_and_what_goes_with_pairs_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--split-ratio: expected more than 0, up to 1, found 0"):
        PairOptions(split_ratio=0)
    with pytest.raises(ConfigError, match="--max-dev: goes with --to pairs"):
        convert_collection(open_collection("cranfield"), tmp_path / "out", "beir", PairOptions(max_dev=1))
