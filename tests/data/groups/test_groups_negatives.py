"""Negatives of training groups: who gets one positive, that mined negatives find room, and how groups are refilled."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import folders
import pytest
from graded_folder import drawn, graded_folder, source

from irctl.data.collections.mqrel import MqrelSource
from irctl.data.collections.mqrel_config import parse_config
from irctl.data.groups.group_source import GroupSettings, GroupSource
from irctl.data.groups.report import describe
from irctl.data.groups.shares import measure_shares
from irctl.data.judgements.negatives import write_negatives
from irctl.errors import ConfigError, DataError

FOUR = '{"qid": "q1", "docid": ["d6", "d7", "d8", "d9"], "score": [4, 3, 2, 1]}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return graded_folder(tmp_path)


def counts(groups: GroupSource, epoch: int = 0) -> tuple[int, int]:
    """(positives by the groups' own threshold, passages) of q1."""
    labels = [label for _, label in drawn(groups, 0, epoch)]
    return sum(label >= groups.positive_threshold for label in labels), len(labels)


@pytest.mark.parametrize("loss", ["infonce", "lambdamrr", "infonce:1,lambdamrr:0.5"])
def test_losses_with_a_threshold_get_one_positive_a_visit_in_turn_and_the_rest_negatives(
    folder: Path, loss: str
) -> None:
    (folder / "neg.jsonl").write_text(FOUR)
    groups = source(folder, "group_size=4", negatives=True, loss=loss)
    assert groups.threshold == 2
    assert [counts(groups, e) for e in range(3)] == [(1, 4)] * 3
    assert {drawn(groups, 0, e)[0][0] for e in range(3)} == {"d1", "d3", "d4"}
    seen = Counter(d for e in range(7) for d, _ in drawn(groups, 0, e)[1:])
    assert seen == dict.fromkeys(["d0", "d2", "d5", "d6", "d7", "d8", "d9"], 3)  # grades below 2, and the mined


@pytest.mark.parametrize("loss", ["listnet", "ws2", "ws2:1,infonce:0.1"])
def test_losses_of_grades_get_graded_groups(folder: Path, loss: str) -> None:
    assert source(folder, loss=loss).threshold is None
    assert source(folder, "binary=false", loss="infonce").threshold is None
    assert source(folder, "binary=true", loss=loss).threshold == 2


@pytest.mark.parametrize("selection", ["file", "random", "most_relevant", "least_relevant", "spread"])
def test_graded_groups_keep_a_quarter_of_their_places_for_mined_negatives(folder: Path, selection: str) -> None:
    (folder / "neg.jsonl").write_text(FOUR)
    for size, mined in ((1, 0), (2, 1), (4, 1), (7, 1), (8, 2), (9, 3)):  # six judged, four mined
        groups = source(folder, f"group_size={size}", f"selection={selection}", negatives=True)
        ids = [d for d, _ in drawn(groups)]
        assert len(ids) == size == len(set(ids))
        assert sum(d in ("d6", "d7", "d8", "d9") for d in ids) == mined, (size, ids)


def test_negatives_of_unjudged_queries_make_no_group(folder: Path) -> None:
    (folder / "neg.jsonl").write_text(FOUR + '{"qid": "q3", "docid": ["d6"], "score": [1]}\n')
    for loss in ("ranknet", "infonce"):
        groups = source(folder, negatives=True, loss=loss)
        assert [groups.group(i, 0).query_id for i in range(len(groups))] == ["q1", "q2"]


def test_a_threshold_set_for_the_loss_divides_the_grades(folder: Path) -> None:
    assert source(folder, "loss.infonce.positive_threshold=3", loss="infonce").threshold == 3
    assert source(folder, "loss.positive_threshold=1", loss="infonce").threshold == 1
    with pytest.raises(ConfigError, match=r"positives start at 4 .*: no passage is positive.* largest grade is 3"):
        source(folder, "loss.positive_threshold=4", loss="infonce")
    two = ("loss.infonce.positive_threshold=3", "loss.lambdamrr.positive_threshold=2")
    assert source(folder, *two, loss="infonce,lambdamrr").threshold is None  # each reads the grades itself
    with pytest.raises(ConfigError, match=r"several thresholds: 3 \(infonce\), 2 \(lambdamrr\)"):
        source(folder, *two, "binary=true", loss="infonce,lambdamrr")


def test_scores_of_a_teacher_are_no_positives_unless_a_threshold_is_named(folder: Path) -> None:
    folders.write(folder / "c/qrels/train.tsv", "q1\td0\t0.9\nq1\td1\t0.2\nq2\td2\t0.7\n")
    with pytest.raises(ConfigError, match=r"needs to know which passages are positives; labels from 0\.2 to 0\.9"):
        source(folder, loss="infonce")
    groups = source(folder, "loss.positive_threshold=0.5", "group_size=0", negatives=True, loss="infonce")
    assert dict(drawn(groups)) == {"d0": 1, "d1": 0, "d6": 0, "d7": 0}


def test_cycling_a_binary_group_repeats_its_negatives_never_the_positive(folder: Path) -> None:
    folders.write(folder / "c/qrels/train.tsv", "q1\td0\t2\nq1\td1\t2\nq1\td2\t0\nq1\td3\t0\nq2\td0\t2\n")
    groups = source(folder, "group_size=6", "short=cycle", loss="infonce")
    for epoch in range(4):
        group = drawn(groups, 0, epoch)
        assert [label for _, label in group] == [1, 0, 0, 0, 0, 0]
        assert set(Counter(d for d, _ in group[1:])) == {"d2", "d3"}
    assert drawn(groups, 1) == [("d0", 1)]  # nothing to repeat


def two_corpora(folder: Path, **more: Any) -> MqrelSource:
    """One query with 12 passages of grade 2 from each of two corpora, whose ids are alike."""
    for name in "ab":
        rows = [{"_id": f"d{i:02d}", "text": f"{name} {i}"} for i in range(12)]
        folders.jsonl(folder / f"{name}.jsonl", rows)
    folders.jsonl(folder / "q.jsonl", [{"_id": f"q{i}", "text": f"query {i}"} for i in range(20)])
    folders.write(folder / "q.tsv", "".join(f"q{q}\td{d:02d}\t2\n" for q in range(20) for d in range(12)))
    files = {"qrel_path": "q.tsv", "query_path": "q.jsonl"} | more
    return MqrelSource(
        "two", parse_config({"mqrel": [files | {"corpus_path": f"{n}.jsonl"} for n in "ab"]}), folder=folder
    )


def test_equal_grades_of_two_corpora_take_turns(tmp_path: Path) -> None:
    groups = two_corpora(tmp_path).groups(GroupSettings(group_size=8))
    firsts = Counter()
    for i in range(20):
        group = groups.group(i, 0)
        assert Counter(text[0] for text in group.passages) == {"a": 4, "b": 4}
        assert {t.split()[1] for t in group.passages} == {"11", "10", "9", "8"}  # by id, descending, in each
        firsts[group.passages[0][0]] += 1
        assert groups.group(i, 3) == group
    assert min(firsts.values()) >= 4  # by lot, not by a hash of the file


def test_two_sources_of_one_name_draw_apart(tmp_path: Path) -> None:
    collection = two_corpora(tmp_path, source="same", group_random_k=3)
    groups = collection.groups(GroupSettings(group_size=0, selection="file"))
    same = 0
    for i in range(20):
        ids = [p.split()[1] for p in groups.group(i, 0).passages]
        same += ids[:3] == ids[3:]
    assert same <= 2  # 1 in 220 by chance


def test_shares_are_those_of_the_groups_as_drawn_and_name_what_is_not_used(folder: Path) -> None:
    (folder / "neg.jsonl").write_text(FOUR)
    found = measure_shares(source(folder, "group_size=4", negatives=True, loss="infonce"))
    # q1: one positive, three of seven negatives, by lot; q2: a positive, for which nothing was mined
    assert found.positives == 1 and found.others + found.mined == 1.5 and found.alike == 1 and found.unused == 0
    graded = measure_shares(source(folder, "group_size=4", negatives=True))
    # q1: grades 3 3 2 with one mined; grades 1 0 0 are in no group. q2: grade 2
    assert (graded.positives, graded.others, graded.mined) == (2, 0, 0.5)
    assert graded.unused == 1.5 and graded.alike == 1
    assert measure_shares(source(folder, "group_size=4", "selection=spread", negatives=True)).unused == 0
    assert "2.00 positives, 0.00 other judged, 0.50 mined (means of 2 groups)" in graded.line()


def test_expected_shares_before_mining_are_those_after_it(folder: Path) -> None:
    (folder / "neg.jsonl").write_text(FOUR + FOUR.replace("q1", "q2"))
    for loss in ("ranknet", "infonce"):
        for size in (2, 4, 8, 0):
            expected = measure_shares(source(folder, f"group_size={size}", loss=loss), to_mine=4)
            groups, many = source(folder, f"group_size={size}", negatives=True, loss=loss), []
            for seed in range(60):
                groups.settings = replace(groups.settings, seed=seed)
                many.append(measure_shares(groups))
            mean = sum(m.mined for m in many) / 60
            assert expected.positives == many[0].positives and abs(expected.mined - mean) < 0.15, (loss, size)
            assert expected.others + expected.mined == pytest.approx(many[0].others + many[0].mined)


def test_a_description_says_what_a_group_holds(folder: Path) -> None:
    (folder / "neg.jsonl").write_text(FOUR)
    about = describe(source(folder, "group_size=4", negatives=True, loss="infonce"))
    assert about["group sizes"] == "4 x 1, 1 x 1" and about["positive from grade"] == 2 and about["largest grade"] == 3
    assert about["groups"] == "one positive, and negatives" and about["a group"].startswith("1.00 positives")


def test_a_low_grade_of_the_very_text_of_a_positive_is_no_negative_of_it(folder: Path) -> None:
    texts = [f"passage {i}" for i in range(10)]
    texts[0] = texts[1]  # d0 has grade 1, d1 grade 3
    folders.jsonl(folder / "c/corpus.jsonl", [{"_id": f"d{i}", "text": t} for i, t in enumerate(texts)])
    for epoch in range(3):
        ids = [d for d, _ in drawn(source(folder, "group_size=0", loss="infonce"), 0, epoch)]
        assert set(ids[1:]) == {"d2", "d5"}
    assert dict(drawn(source(folder, "group_size=0")))["d0"] == 1  # two grades of one text: no contradiction


def mined_200(folder: Path) -> None:
    """One query with a positive and 200 mined negatives."""
    folders.jsonl(folder / "c/corpus.jsonl", [{"_id": f"d{i}", "text": f"passage {i}"} for i in range(201)])
    folders.write(folder / "c/qrels/train.tsv", "q1\td0\t2\n")
    write_negatives(folder / "neg.jsonl", {"q1": [(f"d{i}", 201.0 - i) for i in range(1, 201)]}, {})


def test_a_visit_draws_its_negatives_uniformly_and_without_replacement(folder: Path) -> None:
    mined_200(folder)
    counts: Counter[str] = Counter()
    for seed in range(400):
        group = drawn(source(folder, "group_size=12", f"run.seed={seed}", negatives=True, loss="infonce"), 0, 5)
        assert len({d for d, _ in group}) == 12 and group[0] == ("d0", 1)
        counts.update(d for d, _ in group[1:])
    assert len(counts) == 200
    assert max(abs(n - 22) for n in counts.values()) < 20  # 400 x 11 / 200, four standard deviations


def test_epochs_draw_other_negatives_until_all_were_drawn(folder: Path) -> None:
    mined_200(folder)
    groups = source(folder, "group_size=12", negatives=True, loss="infonce")
    windows = [{d for d, _ in drawn(groups, 0, e)[1:]} for e in range(18)]
    assert len(set().union(*windows)) == 18 * 11
    again = source(folder, "group_size=12", negatives=True, loss="infonce")
    assert [{d for d, _ in drawn(again, 0, e)[1:]} for e in reversed(range(18))] == windows[::-1]


def test_a_short_group_is_filled_with_random_documents_that_nobody_judged(folder: Path) -> None:
    folders.write(folder / "c/qrels/train.tsv", "q1\td0\t2\nq1\td1\t2\nq1\td2\t0\nq2\td0\t2\n")
    write_negatives(folder / "neg.jsonl", {"q1": [("d6", 1.0)]}, {})
    groups = source(folder, "group_size=6", "short=fill", negatives=True, loss="infonce")
    assert groups.short_queries == 2
    seen: Counter[str] = Counter()
    for epoch in range(40):
        ids, labels = zip(*drawn(groups, 0, epoch), strict=True)
        assert labels == (1, 0, 0, 0, 0, 0) and set(ids[1:3]) == {"d2", "d6"} and len(set(ids)) == 6
        seen.update(ids[3:])
    assert set(seen) == {"d3", "d4", "d5", "d7", "d8", "d9"} and min(seen.values()) > 8
    assert drawn(groups, 0, 3) == drawn(
        source(folder, "group_size=6", "short=fill", negatives=True, loss="infonce"), 0, 3
    )
    # without any mined negative all of them are random ones; of too few documents there are as many as there are
    assert len(drawn(source(folder, "group_size=9", "short=fill", loss="infonce"), 1)) == 9
    assert len(drawn(source(folder, "group_size=30", "short=fill", loss="infonce"), 1)) == 10


def test_random_documents_of_a_large_corpus_are_no_copies_of_what_is_judged(folder: Path) -> None:
    texts = [{"_id": f"d{i}", "text": f"passage {i % 2500}"} for i in range(5000)]  # d0 and d2500 are one
    folders.jsonl(folder / "c/corpus.jsonl", texts)
    folders.write(folder / "c/qrels/train.tsv", "q1\td0\t2\n")
    groups = source(folder, "group_size=2400", "short=fill", loss="infonce")
    ids = [d for d, _ in drawn(groups)]
    assert len(ids) == 2400 == len({int(d[1:]) % 2500 for d in ids}) and "d2500" not in ids


def test_too_few_negatives_are_refused_when_groups_are_made_with_their_number(folder: Path) -> None:
    folders.write(folder / "c/qrels/train.tsv", "q1\td0\t2\nq2\td0\t2\n")
    write_negatives(folder / "neg.jsonl", {"q1": [("d6", 1.0), ("d7", 1.0)], "q2": [("d8", 1.0)]}, {})
    with pytest.raises(DataError, match="1 of 2 training queries have fewer than 2 negatives"):
        source(folder, "group_size=3", "short=error", negatives=True, loss="infonce")
    assert len(source(folder, "group_size=2", "short=error", negatives=True, loss="infonce")) == 2
