"""What is reported does not choose: dev where there is a test, else queries taken out of the training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from word_collection import word_collection

from irctl import config as settings
from irctl.data.collections.training_source import open_training_source
from irctl.data.judgements.negatives import write_negatives
from irctl.origins import derived
from irctl.paths import RunPaths
from irctl.training.groups import held_out


def opened(folder: str, **more):
    values = {"data.source": folder, "data.negatives": "none", "data.group_size": 1, "data.binary": "true", **more}
    config = settings.resolve({k: (v, derived("test")) for k, v in values.items()})
    source = open_training_source(config)
    return config, source, *held_out.open_groups(config, source)


def trained_on(groups) -> set[str]:
    return {groups.query_id(int(row)) for row in groups.query_rows}


def test_dev_chooses_where_the_collection_reports_test(tmp_path: Path) -> None:
    folder = word_collection(tmp_path / "w", train=range(6), dev=range(6, 9), test=range(9, 12))
    _, _, groups, apart = opened(folder)
    assert apart.split == "dev" and apart.ids == ["q6", "q7", "q8"] and len(groups) == 6


@pytest.mark.parametrize("splits", [{"train": range(12)}, {"train": range(10), "dev": range(10, 12)}])
def test_else_training_queries_choose_and_are_not_trained_on(tmp_path: Path, splits: dict) -> None:
    folder = word_collection(tmp_path / "w", **splits)
    _, _, groups, apart = opened(folder)
    count = len(splits["train"]) // 2  # at least 20, but never more than half
    assert apart.split == f"{count} of train" and len(apart.ids) == count
    assert apart.qrels.keys() == set(apart.ids)
    assert trained_on(groups).isdisjoint(apart.ids) and len(groups) == len(splits["train"]) - count
    assert apart.texts == [f"{word}" for word in apart.texts] and all(apart.texts)
    again, other = opened(folder)[3], opened(folder, **{"run.seed": 7})[3]
    assert again.ids == apart.ids != other.ids
    whole = opened(folder, **{"eval.during": "off"})
    assert whole[3] is None and len(whole[2]) == len(splits["train"])
    assert whole[2].fingerprint != groups.fingerprint, "a checkpoint of other training queries is not continued"


def test_the_reduced_corpus_is_what_is_judged_and_what_the_launcher_found(tmp_path: Path) -> None:
    folder = word_collection(tmp_path / "w", train=range(6), dev=range(6, 9), test=range(9, 12))
    config, source, _, apart = opened(folder)
    paths = RunPaths(tmp_path / "run")
    paths.folder.mkdir()
    write_negatives(tmp_path / "near.jsonl", {"q6": [("d1", 0.9), ("d6", 0.8)]}, {})
    paths.launch.parent.mkdir(exist_ok=True)
    paths.launch.write_text(json.dumps({"dev_negatives": str(tmp_path / "near.jsonl")}))
    assert held_out.reduced(config, source, apart, paths).candidates == [["d6", "d1"], ["d7"], ["d8"]]
    config = config.replace({"eval.during": "corpus"}, derived("test"))
    assert held_out.reduced(config, source, apart, paths).candidates is None
