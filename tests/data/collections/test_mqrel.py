"""Training data of several levels: keys of the original configurations, order of the rules, merging, refusals."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import folders
import pytest

from irctl import config
from irctl.data.collections import mqrel, mqrel_config
from irctl.data.collections.open import open_collection
from irctl.data.collections.training_source import JudgedSplit, open_training_source
from irctl.data.groups.group_source import GroupSettings, GroupSource
from irctl.data.groups.report import describe
from irctl.errors import ConfigError, DataError
from irctl.training.groups.sources import groups_of

RAW = {"q1": [("r0", 0.5), ("r1", 1), ("r2", 2), ("r3", 3), ("r4", 2)], "q2": [("r0", 1), ("r1", 0)]}


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """Real documents r0..r4 with RAW scores, synthetic s0..s3 of grades 3 2 1 0 for q1, and two query files."""
    folders.jsonl(tmp_path / "real.jsonl", [{"_id": f"r{i}", "text": f"real {i}"} for i in range(5)])
    folders.jsonl(tmp_path / "synth.jsonl", [{"docid": f"s{i}", "title": "t", "text": f"synth {i}"} for i in range(4)])
    folders.jsonl(tmp_path / "queries.jsonl", [{"_id": f"q{i}", "text": f"query {i}"} for i in (1, 2, 3)])
    grouped = [{"qid": q, "docid": [d for d, _ in rows], "score": [s for _, s in rows]} for q, rows in RAW.items()]
    folders.jsonl(tmp_path / "real_qrels.jsonl", grouped)
    folders.write(tmp_path / "synth.tsv", "".join(f"q1\ts{i}\t{3 - i}\n" for i in range(4)))
    return tmp_path


def real(**more: Any) -> dict[str, Any]:
    return {"qrel_path": "real_qrels.jsonl", "query_path": ["queries.jsonl"], "corpus_path": "real.jsonl", **more}


def synth(**more: Any) -> dict[str, Any]:
    return {"qrel_path": ["synth.tsv"], "query_path": "queries.jsonl", "corpus_path": "synth.jsonl", **more}


def groups(toy: Path, table: dict[str, Any], **settings: Any) -> GroupSource:
    (toy / "conf.json").write_text(json.dumps(table, indent=1))
    return mqrel.open_mqrel(toy / "conf.json").groups(
        GroupSettings(**{"group_size": 0, "selection": "file"} | settings)
    )


def labels(source: GroupSource, index: int = 0, epoch: int = 0) -> dict[str, float]:
    group = source.group(index, epoch)
    return {i.rpartition("/")[2]: y for i, y in zip(group.passage_ids, group.labels, strict=True)}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, {"r0": 0.5, "r1": 1, "r2": 2, "r3": 3, "r4": 2}),
        ({"min_score": 1}, {"r1": 1, "r2": 2, "r3": 3, "r4": 2}),
        ({"max_score": 2}, {"r0": 0.5, "r1": 1}),  # the upper end is excluded
        ({"min_score": 1, "max_score": 3}, {"r1": 1, "r2": 2, "r4": 2}),
        ({"group_top_k": 2}, {"r2": 2, "r3": 3}),  # r2 before r4: file order between equal scores
        ({"group_bottom_k": 2}, {"r0": 0.5, "r1": 1}),
        ({"group_first_k": 2}, {"r0": 0.5, "r1": 1}),
        ({"min_score": 1, "group_first_k": 1, "score_transform": 3}, {"r1": 3}),
        ({"score_transform": "floor"}, {"r0": 0, "r1": 1, "r2": 2, "r3": 3, "r4": 2}),
        ({"score_transform": "ceil", "group_top_k": 5}, {"r0": 1, "r1": 1, "r2": 2, "r3": 3, "r4": 2}),
        ({"filter": "grade >= 2 and not docid.endswith('4')"}, {"r2": 2, "r3": 3}),
        ({"label": "1 if grade >= 2 else 0"}, {"r0": 0, "r1": 0, "r2": 1, "r3": 1, "r4": 1}),
        ({"group_top_k": 1, "score_transform": 0}, {"r3": 0}),  # chosen by the raw score, labelled after
        ({"corpus_cache": "x", "query_cache": "y"}, {"r0": 0.5, "r1": 1, "r2": 2, "r3": 3, "r4": 2}),
    ],
)  # fmt: skip
def test_rules_apply_in_their_order_on_raw_scores(toy: Path, rules: dict[str, Any], expected: dict[str, float]) -> None:
    assert labels(groups(toy, {"mqrel": [real(**rules)]})) == expected


def test_random_k_is_drawn_anew_each_epoch_and_all_are_kept_when_there_are_fewer(toy: Path) -> None:
    source = groups(toy, {"mqrel": [real(group_random_k=2)]})
    draws = [labels(source, 0, e) for e in range(12)]
    assert all(len(d) == 2 and set(d.items()) <= set(RAW["q1"]) for d in draws)
    assert len({tuple(d) for d in draws}) > 2 and labels(source, 0, 3) == draws[3]
    assert len(labels(groups(toy, {"mqrel": [real(group_random_k=9)]}))) == 5
    assert len(source.known(source.rows(0, 0).query_row)) == 5  # masking knows what was not drawn


def test_sources_merge_over_one_query_file_and_ids_of_files_do_not_clash(toy: Path) -> None:
    folders.jsonl(toy / "synth.jsonl", [{"docid": f"r{i}", "text": f"synth {i}"} for i in range(4)])
    folders.write(toy / "synth.tsv", "q1\tr0\t3\nq3\tr1\t2\n")
    source = groups(toy, {"mqrel": [real(), synth()]})
    assert [source.group(i, 0).query_id for i in range(len(source))] == ["q1", "q2", "q3"]
    group = source.group(0, 0)
    assert len(group.passage_ids) == len(set(group.passage_ids)) == 6
    assert group.passages[-1] == "synth 0" and group.labels[-1] == 3 and group.labels[0] == 0.5


def test_the_same_file_twice_is_one_namespace_and_a_copy_too(toy: Path) -> None:
    folders.write(toy / "copy.jsonl", (toy / "queries.jsonl").read_text())
    source = groups(toy, {"mqrel": [real(), synth(query_path="copy.jsonl")]})
    assert len(source) == 2 and len(labels(source)) == 9
    ids = [source.group(i, 0).query_id for i in range(2)]
    more = groups(toy, {"mqrel": [real(), synth(), real(qrel_path=[])]})
    assert [more.group(i, 0).query_id for i in range(2)] == ids


def test_conflicts_are_counted_and_settled_as_asked(toy: Path) -> None:
    folders.write(toy / "bm25.tsv", "q1\tr3\t9\nq1\tr1\t8\nq2\tr0\t7\n")
    table: dict[str, Any] = {"mqrel": [real(min_score=1), real(qrel_path="bm25.tsv", score_transform=1, source="bm25")]}
    last = groups(toy, table)
    assert labels(last)["r3"] == 1, "the original's rule demotes a real positive"
    about = describe(last)
    assert about["conflicts"] == 1 and "max" in about["advice"]
    assert labels(groups(toy, table | {"on_conflict": "max"}))["r3"] == 3
    with pytest.raises(DataError, match=r"query q1, document r3: judged 3 in mqrel\[0\] and 1 in bm25"):
        groups(toy, table, on_conflict="error")  # when the data is opened, not in the middle of an epoch
    assert len(groups(toy, {"mqrel": [real(), synth()]}, on_conflict="error")) == 2


def test_positives_and_negatives_win_over_mqrel_and_need_each_other(toy: Path) -> None:
    table = {"mqrel": [real()], "pos_mqrel": [real(min_score=2)], "neg_mqrel": real(max_score=2)}
    source = groups(toy, table, group_size=3)
    assert len(source) == 1 and source.is_binary and sorted(labels(source).values()) == [0, 0, 1]
    with pytest.raises(ConfigError, match=r"conf.json:2: pos_mqrel without neg_mqrel"):
        groups(toy, {"pos_mqrel": [real()]})
    with pytest.raises(DataError, match=r"q1, document r2: both positive \(2 in pos_mqrel\[0\]\) and negative \(2 in"):
        groups(toy, {"pos_mqrel": [real(min_score=2)], "neg_mqrel": [real(max_score=3)]})


def test_a_subset_keeps_the_queries_of_another_file(toy: Path) -> None:
    folders.jsonl(toy / "few_queries.jsonl", [{"_id": "q2", "text": "x"}])
    assert [groups(toy, {"mqrel": [real(query_subset_path="few_queries.jsonl")]}).group(0, 0).query_id] == ["q2"]
    folders.write(toy / "few.tsv", "q1\tzz\t1\n")
    assert len(groups(toy, {"mqrel": [real(query_subset_path="few.tsv")]})) == 1


def test_a_source_without_judgements_only_adds_documents(toy: Path) -> None:
    source = groups(toy, {"mqrel": [real(), {"corpus_path": "synth.jsonl"}]})
    assert len(source.passages) == 9 and len(labels(source)) == 5


def test_weights_make_a_source_more_likely(toy: Path) -> None:
    table = {"mqrel": [real(weight=20), synth(weight=1)]}
    source = groups(toy, table, group_size=1, selection="random")
    counts = sum(next(iter(labels(source, 0, e))).startswith("r") for e in range(100))
    assert counts > 85  # expected 96


def test_callables_from_python_override_the_keys(toy: Path) -> None:
    table = {
        "mqrel": [
            {k: str(toy / v[0]) if isinstance(v, list) else str(toy / v) for k, v in real().items()}
            | {
                "filter_fn": lambda r: r["docid"] != "r0",
                "group_filter_fn": lambda g: {"docid": sorted(g["docid"])[:3]},
                "score_transform": lambda r: r["score"] * 10,
            }
        ]
    }
    training = mqrel.MqrelSource("python", mqrel_config.parse_config(table), folder=toy)
    source = training.groups(GroupSettings(group_size=0, selection="file"))
    assert labels(source) == {"r1": 10, "r2": 20, "r3": 30}


def test_toml_takes_the_same_keys(toy: Path) -> None:
    lines = ["[[mqrel]]", *(f"{k} = {json.dumps(v)}" for k, v in real(min_score=2).items())]
    (toy / "conf.toml").write_text("\n".join(lines))
    sets = [f"data.source={toy / 'conf.toml'}", "data.group_size=0", "loss.name=ranknet"]
    settings = config.resolve(config.from_sets(sets))
    source = groups_of(settings, open_training_source(settings))
    assert labels(source) == {"r2": 2, "r3": 3, "r4": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min_scor": 1}, r"conf.json:9: mqrel\[0\]: no key named 'min_scor'. Did you mean 'min_score'"),
        ({"new_label": 1}, "no key named 'new_label'"),
        ({"min_score": "2"}, r"conf.json:9: mqrel\[0\]: min_score: expected a number, found '2'"),
        ({"group_top_k": 0}, "expected a whole number above 0"),
        ({"group_top_k": 1, "group_first_k": 1}, "group_top_k and group_first_k. At most one"),
        ({"score_transform": "round"}, "expected a number, floor or ceil"),
        ({"filter": "__import__('os')"}, "is not allowed in an expression"),
        ({"filter": "grade > 1", "min_score": 1}, "say the same thing"),
        ({"weight": 0}, "expected a number above 0"),
        ({"corpus_path": []}, "no corpus_path"),
        ({"qrel_path": 3}, "expected a path or a list of paths"),
    ],
)
def test_a_wrong_key_or_value_names_file_line_and_the_legal_one(
    toy: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        groups(toy, {"mqrel": [real(**change)]})


def test_a_wrong_key_of_a_later_source_is_named_with_its_own_line(toy: Path) -> None:
    table = {"mqrel": [real(min_score=1), synth(min_score="x")]}
    text = json.dumps(table, indent=1).splitlines()
    line = next(n for n, t in enumerate(text, 1) if t.strip() == '"min_score": "x"')
    with pytest.raises(ConfigError, match=rf"conf.json:{line}: mqrel\[1\]"):
        groups(toy, table)


def test_only_training_reads_a_configuration_of_several_sources(toy: Path) -> None:
    groups(toy, {"mqrel": [real(), synth()]})
    with pytest.raises(DataError, match="conf: a training configuration of 2 sources has no one corpus; only irctl"):
        open_collection(str(toy / "conf.json"))
    training = open_training_source(config.resolve(config.from_sets([f"data.source={toy / 'conf.json'}"])))
    assert isinstance(training, mqrel.MqrelSource) and training.name == "conf"


def test_training_reads_a_split_of_any_other_source() -> None:
    training = open_training_source(config.resolve(config.from_sets(["data.source=cranfield", "data.split=dev"])))
    assert isinstance(training, JudgedSplit) and (training.name, training.split) == ("cranfield", "dev")


def test_an_unknown_top_key_and_broken_json_are_refused(toy: Path) -> None:
    with pytest.raises(ConfigError, match=r"conf.json:2: no key named 'mqrels'. Did you mean 'mqrel'"):
        groups(toy, {"mqrels": [real()]})
    (toy / "broken.json").write_text('{\n"mqrel": [}')
    with pytest.raises(ConfigError, match=r"broken.json:2: not valid JSON"):
        open_collection(str(toy / "broken.json"))


def test_an_id_missing_from_the_corpus_is_an_error_before_training(toy: Path) -> None:
    folders.write(toy / "bad.tsv", "q1\tr0\t1\nq1\tr9\t1\n")
    with pytest.raises(DataError, match=r"bad.tsv:2: expected a passage id with a text, found 'r9'"):
        groups(toy, {"mqrel": [real(qrel_path="bad.tsv")]})


def test_a_configuration_of_the_hub_builds_without_network(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    hub = {k: f"hf://datasets/mteb/msmarco@c5a2/{v if isinstance(v, str) else v[0]}" for k, v in real().items()}
    (toy / "hub.json").write_text(json.dumps({"mqrel": [hub]}))
    opened = mqrel.open_mqrel(toy / "hub.json")
    assert len(opened.describe()["not on this machine"]) == 3
    with pytest.raises(DataError, match=r"hf://datasets/mteb/msmarco@c5a2/queries.jsonl: .*data.root"):
        opened.groups(GroupSettings())
    for name in ("real.jsonl", "queries.jsonl", "real_qrels.jsonl"):
        folders.write(toy / "root/mteb/msmarco" / name, (toy / name).read_text())
    opened = mqrel.open_mqrel(toy / "hub.json", root=str(toy / "root"))
    assert opened.missing() == [] and len(opened.groups(GroupSettings())) == 2


def test_counts_by_source_and_grade_say_what_was_dropped(toy: Path) -> None:
    about = describe(groups(toy, {"mqrel": [real(min_score=1, source="real"), synth()]}))
    assert about["sources"][0].startswith(
        "real (graded): 2 queries; 7 judgements by score {0: 1, 0.5: 1, 1: 2, 2: 2, 3: 1}; "
        "5 kept by label {1: 2, 2: 2, 3: 1}, 2 dropped (2 by min_score 1); "
    )
    assert about["group sizes"] == "8 x 1, 1 x 1" and about["conflicts"] == 0 and about["largest grade"] == 3


@pytest.mark.parametrize(
    ("rules", "reasons"),
    [
        ({"min_score": 1, "max_score": 3}, "(3 by min_score 1, max_score 3)"),
        ({"filter": "grade > 1"}, "(4 by filter grade > 1)"),
        ({"group_top_k": 2, "min_score": 1}, "(2 by min_score 1, 2 by group_top_k 2)"),
        ({"group_first_k": 1}, "(5 by group_first_k 1)"),
        ({"query_subset_path": "few.tsv", "group_bottom_k": 4}, "(2 by query_subset_path, 1 by group_bottom_k 4)"),
        ({"qrel_path": ["real_qrels.jsonl", "real_qrels.jsonl"]}, "(7 by listed again, the last label counts)"),
        ({}, "0 dropped; "),
    ],
)
def test_every_dropped_judgement_has_a_reason(toy: Path, rules: dict[str, Any], reasons: str) -> None:
    folders.write(toy / "few.tsv", "q1\tzz\t1\n")
    assert reasons in describe(groups(toy, {"mqrel": [real(**rules)]}))["sources"][0]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"min_score": 9}, "7 dropped by min_score 9, 0 left of 0 queries"),
        ({"filter": "grade > 9", "group_top_k": 1}, "7 dropped by filter grade > 9, 0 left"),
        ({"query_subset_path": "few.tsv"}, "7 dropped by query_subset_path, 0 left"),
        ({"qrel_path": "none.tsv"}, "0 judgements in"),
        ({"qrel_path": []}, "no source has judgements"),
    ],
)
def test_where_no_query_is_left_every_rule_says_what_it_dropped(toy: Path, rules: dict[str, Any], said: str) -> None:
    folders.write(toy / "few.tsv", "q3\tzz\t1\n")
    folders.write(toy / "none.tsv", "query-id\tcorpus-id\tscore\n")
    with pytest.raises(DataError, match="no query has a judgement: ") as raised:
        groups(toy, {"mqrel": [real(**rules)]})
    assert said in str(raised.value)


def test_where_no_query_has_both_sides_each_side_says_what_it_dropped(toy: Path) -> None:
    table = {"pos_mqrel": [real(min_score=3)], "neg_mqrel": [real(max_score=1, filter_fn=None, min_score=0.7)]}
    with pytest.raises(
        DataError, match="no query has both a positive and a negative passage: positives: pos"
    ) as raised:
        groups(toy, table)
    assert "6 dropped by min_score 3, 1 left of 1 queries; negatives: neg_mqrel[0]: 7 judgements" in str(raised.value)
    assert "7 dropped by min_score 0.7, max_score 1, 0 left" in str(raised.value)


def test_queries_that_make_no_group_are_counted_with_the_reason(toy: Path) -> None:
    table = {"pos_mqrel": [real(min_score=2)], "neg_mqrel": [real(max_score=1), synth(qrel_path="one.tsv")]}
    folders.write(toy / "one.tsv", "q3\ts0\t0\n")
    about = describe(groups(toy, table, group_size=4))
    assert about["queries"] == 1 and about["queries dropped"] == "2 have no positive"  # q2 and q3
    assert about["group sizes"] == "2 x 1"  # one of three positives, one negative
    assert describe(groups(toy, {"mqrel": [real()]}, max_queries=1))["queries dropped"].startswith("1 are beyond")


def test_a_passage_of_two_sources_counts_once_in_group_sizes(toy: Path) -> None:
    folders.write(toy / "more.tsv", "q1\tr0\t1\nq1\tr1\t1\n")
    about = describe(groups(toy, {"mqrel": [real(), real(qrel_path="more.tsv")]}))
    assert about["group sizes"] == "5 x 1, 2 x 1" and about["conflicts"] == 1


def test_a_path_may_be_a_beir_folder(toy: Path) -> None:
    folders.write(toy / "beir/corpus.jsonl", (toy / "real.jsonl").read_text())
    folders.write(toy / "beir/queries.jsonl", (toy / "queries.jsonl").read_text())
    folders.write(toy / "beir/qrels/train.tsv", "query-id\tcorpus-id\tscore\nq3\tr1\t2\n")
    table = {"qrel_path": "beir", "query_path": "beir", "corpus_path": "beir"}
    assert labels(groups(toy, {"mqrel": [table]})) == {"r1": 2}
    assert len(groups(toy, {"mqrel": [real(), real(query_subset_path="beir", qrel_path="beir")]})) == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.jsonl", '{"_id": "q2", "text": "x"}\n'),
        ("q.tsv", "q2\tits text\n"),
        ("j.jsonl", '{"qid": "q2", "docid": ["r0"], "score": [1]}\n'),
        ("c.jsonl", '{"_id": "q2_l_3_d_0", "text": "made for q2"}\n'),
        ("t.txt", "q2 0 r0 1\n"),
    ],
)
def test_a_subset_is_any_file_with_query_ids(toy: Path, name: str, content: str) -> None:
    folders.write(toy / name, content)
    source = groups(toy, {"mqrel": [real(query_subset_path=name)]})
    assert [source.group(i, 0).query_id for i in range(len(source))] == ["q2"]


def test_a_subset_that_is_elsewhere_is_missing_too(toy: Path) -> None:
    groups(toy, {"mqrel": [real()]})
    config = mqrel_config.parse_config({"mqrel": [real(query_subset_path="hf://datasets/a/b/q.jsonl")]})
    training = mqrel.MqrelSource("python", config, folder=toy)
    assert training.missing() == ["hf://datasets/a/b/q.jsonl"]


def test_a_configuration_whose_files_are_elsewhere_is_described_as_written(toy: Path) -> None:
    groups(toy, {"mqrel": [real(min_score=1, source="real")]})
    (toy / "real.jsonl").unlink()
    about = mqrel.open_mqrel(toy / "conf.json").describe()
    assert about["not on this machine"] == ["real.jsonl"] and about["sources"] == [
        "real: real_qrels.jsonl (min_score 1)"
    ]


def test_an_evaluation_configuration_is_read_in_both_depths(toy: Path) -> None:
    three = {s: synth() for s in ("dev", "test")} | {"trec20": synth(qrel_path="other.tsv")}
    folders.write(toy / "other.tsv", "q1\ts0\t1\n")
    (toy / "eval.json").write_text(json.dumps({"arguana": synth(corpus_cache="x"), "msmarco": three}))
    one, many = open_collection(f"{toy}/eval.json:arguana"), open_collection(f"{toy}/eval.json:msmarco")
    assert one.splits() == ("synth",) and one.card.self_match == "drop" and len(one.queries("synth")) == 1
    assert many.splits() == ("dev", "test", "trec20") and many.qrels("trec20") == {"q1": {"s0": 1}}
    assert many.card.headline_split == "dev" and many.card.measures["trec20"] == "trec-dl"
    assert many.corpus.texts([0]) == ["t synth 0"]
    with pytest.raises(ConfigError, match="Did you mean 'arguana'"):
        open_collection(f"{toy}/eval.json:arguanna")
    with pytest.raises(ConfigError, match=r"2 sets. Name one: .*eval.json:arguana"):
        open_collection(f"{toy}/eval.json")
