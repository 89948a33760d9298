"""Training groups: what is drawn, for whom, and that it never depends on who draws."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from pathlib import Path
from typing import Any

import folders
import numpy as np
import pytest
from graded_folder import GRADED, drawn, graded_folder, source

from irctl import config
from irctl.data.collections.open import open_collection
from irctl.data.collections.training_source import JudgedSplit
from irctl.data.judgements.negatives import write_negatives
from irctl.errors import DataError
from irctl.training.groups.sources import groups_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return graded_folder(tmp_path)


def test_every_judged_query_is_a_group_in_query_file_order(folder: Path) -> None:
    groups = source(folder)
    assert len(groups) == 2 and groups.group(0, 0).query_id == "q1" and groups.group(1, 0).query == "query 2"
    assert groups.largest_grade == 3 and groups.positive_threshold == 2
    assert len(source(folder, "max_queries=1")) == 1


def test_most_relevant_breaks_ties_by_id_descending(folder: Path) -> None:
    assert drawn(source(folder, "group_size=3")) == [("d3", 3), ("d1", 3), ("d4", 2)]
    assert drawn(source(folder, "group_size=3", "selection=least_relevant")) == [("d5", 0), ("d2", 0), ("d0", 1)]
    assert drawn(source(folder, "group_size=2", "selection=file")) == [("d0", 1), ("d1", 3)]


def test_group_size_zero_takes_every_passage(folder: Path) -> None:
    assert len(drawn(source(folder, "group_size=0"))) == 6 and len(drawn(source(folder, "group_size=0"), 1)) == 1


def test_spread_takes_one_of_each_grade_then_any(folder: Path) -> None:
    groups = source(folder, "group_size=5", "selection=spread")
    seen = set()
    for epoch in range(20):
        labels = [label for _, label in drawn(groups, 0, epoch)]
        assert labels[:4] == [3, 2, 1, 0] and len(labels) == 5
        seen.add(tuple(d for d, _ in drawn(groups, 0, epoch)))
    assert len(seen) > 3


def test_random_groups_change_with_epoch_and_seed_and_reach_every_passage(folder: Path) -> None:
    groups = source(folder, "group_size=3", "selection=random")
    counts = Counter(d for epoch in range(60) for d, _ in drawn(groups, 0, epoch))
    assert set(counts) == {f"d{i}" for i in range(6)} and min(counts.values()) > 15  # 30 expected
    other = source(folder, "group_size=3", "selection=random", "run.seed=1")
    assert any(drawn(groups, 0, e) != drawn(other, 0, e) for e in range(5))
    assert [drawn(groups, 0, e) for e in range(5)] == [drawn(groups, 0, e) for e in range(5)]


def test_a_short_group_is_padded_or_cycled(folder: Path) -> None:
    assert drawn(source(folder, "group_size=3"), 1) == [("d0", 2)]
    assert drawn(source(folder, "group_size=3", "short=cycle"), 1) == [("d0", 2)] * 3


def test_mined_negatives_are_labelled_zero_and_never_demote_a_judgement(folder: Path) -> None:
    labels = dict(drawn(source(folder, "group_size=0", negatives=True)))
    assert labels["d6"] == labels["d7"] == 0 and labels["d1"] == 3 and len(labels) == 8
    assert dict(drawn(source(folder, "group_size=0", negatives=True), 1)) == {"d0": 2, "d8": 0}


def test_binary_groups_rotate_the_positive_and_move_the_window_of_negatives(folder: Path) -> None:
    (folder / "neg.jsonl").unlink()
    write_negatives(folder / "neg.jsonl", {"q1": [("d6", 0.9), ("d7", 0.8)], "q2": [("d8", 1.0)]}, {})
    groups = source(folder, "binary=true", "group_size=3", negatives=True)
    assert len(groups) == 2 and groups.largest_grade == groups.positive_threshold == 1
    epochs = [drawn(groups, 0, e) for e in range(6)]
    assert all([label for _, label in e] == [1, 0, 0] for e in epochs)
    # grades 3 3 2 are positives (threshold 2), grades 1 0 0 and two mined ones negatives
    positives = [e[0][0] for e in epochs]
    assert set(positives[:3]) == {"d1", "d3", "d4"} and positives[:3] == positives[3:]
    # 5 negatives in windows of 2, wrapping: epochs 0, 1 and half of 2 see each once
    window = [d for e in epochs for d, _ in e[1:]]
    assert set(window[:5]) == {"d0", "d2", "d5", "d6", "d7"} and window[5:10] == window[:5]
    pinned = source(folder, "binary=true", "group_size=3", "pin_positive=true", "pin_negatives=true", negatives=True)
    assert drawn(pinned, 0, 0) == drawn(pinned, 0, 7) and drawn(pinned, 0, 0)[0] == ("d1", 1)


def test_a_mined_document_that_is_judged_positive_stays_one_in_binary_groups(folder: Path) -> None:
    groups = source(folder, "binary=true", "group_size=0", negatives=True)  # d1 was mined, and has grade 3
    seen = [drawn(groups, 0, e) for e in range(3)]
    assert {group[0] for group in seen} == {("d1", 1), ("d3", 1), ("d4", 1)}
    assert all({d for d, _ in group[1:]} == {"d0", "d2", "d5", "d6", "d7"} for group in seen)


def test_a_query_without_negatives_keeps_its_positive_and_meets_those_of_others(folder: Path) -> None:
    groups = source(folder, "binary=true")
    assert len(groups) == 2 and drawn(groups, 1) == [("d0", 1)]
    folders.write(folder / "c/qrels/train.tsv", "q1\td0\t2\nq2\td0\t0\n")  # q2 has no positive
    assert len(source(folder, "binary=true")) == 1


def _draw_in_another_process(folder: Path, send: Any) -> None:
    groups = source(folder, "group_size=3", "selection=random", negatives=True)
    send.send([drawn(groups, i, e) for e in (2, 0) for i in (1, 0)])


def test_another_process_draws_the_same_groups_in_any_order(folder: Path) -> None:
    groups = source(folder, "group_size=3", "selection=random", negatives=True)
    here = {(i, e): drawn(groups, i, e) for i in range(2) for e in range(3)}
    receive, send = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_draw_in_another_process, args=(folder, send))
    process.start()
    there = receive.recv()
    process.join()
    assert there == [here[(1, 2)], here[(0, 2)], here[(1, 0)], here[(0, 0)]]


def test_draws_follow_the_query_not_its_place_in_the_file(folder: Path) -> None:
    before = drawn(source(folder, "group_size=3", "selection=random"))
    queries = folder / "c/queries.jsonl"
    queries.write_text('{"_id": "q0", "text": "new"}\n' + queries.read_text())
    assert drawn(source(folder, "group_size=3", "selection=random")) == before


def test_known_grades_hold_every_annotation_of_a_query(folder: Path) -> None:
    groups = source(folder, "group_size=1", negatives=True)
    known = groups.known(groups.rows(0, 0).query_row)
    named = dict(zip(groups.passage_ids(list(known)), known.values(), strict=True))
    assert named == {"d0": 1, "d1": 3, "d2": 0, "d3": 3, "d4": 2, "d5": 0, "d6": 0, "d7": 0}


def test_an_id_without_a_text_is_an_error_with_its_line(folder: Path) -> None:
    folders.write(folder / "c/qrels/train.tsv", "q1\td0\t1\nq1\tdX\t1\n")
    with pytest.raises(DataError, match=r"train.tsv:2: expected a passage id with a text, found 'dX'"):
        source(folder)


def test_the_fingerprint_follows_content_and_settings(folder: Path) -> None:
    first = source(folder).fingerprint
    assert source(folder).fingerprint == first
    assert source(folder, "group_size=3").fingerprint != first and source(folder, negatives=True).fingerprint != first
    folders.write(folder / "c/qrels/train.tsv", GRADED.replace("d0\t2", "d0\t3"))
    assert source(folder).fingerprint != first


def test_rows_of_the_built_in_collection_match_its_judgements() -> None:
    collection = open_collection("cranfield")
    settings = config.resolve(config.from_sets(["data.group_size=0", "loss.name=ranknet"]))
    groups = groups_of(settings, JudgedSplit(collection, "train"))
    qrels = collection.qrels("train")
    assert len(groups) == 135
    for index in range(0, 135, 20):
        group = groups.group(index, 0)
        assert dict(zip(group.passage_ids, group.labels, strict=True)) == qrels[group.query_id]
        rows = groups.rows(index, 0)
        assert rows.labels_K.dtype == np.float32 and group.passages == tuple(
            collection.corpus.texts(rows.passage_rows_K)
        )
