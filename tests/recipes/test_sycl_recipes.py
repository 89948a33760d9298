"""The recipes of SyCL: its settings, and the groups that its data configurations make of a small stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workspace import workspace

from irctl import config, paths, recipes_index, shipped_files
from irctl.data.collections.open import open_collection
from irctl.data.collections.training_source import open_training_source
from irctl.data.groups.group_source import GroupSource
from irctl.errors import DataError
from irctl.origins import derived
from irctl.training import batch_plan
from irctl.training.groups.sources import groups_of

NAMES = ("sycl-real-binary", "sycl-synth-binary", "sycl-synth-multilevel", "sycl-synth-plus-real")


def resolved(name: str) -> config.Config:
    return config.resolve(recipes_index.layer(name))


def jsonl(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A folder that stands for the hub: two queries, real and synthetic passages, BM25 negatives."""
    ms, sy = tmp_path / "hub/mteb/msmarco", tmp_path / "hub/BatsResearch/sycl"
    jsonl(ms / "queries.jsonl", [{"_id": q, "text": f"query {q}"} for q in "ab"])
    jsonl(ms / "corpus.jsonl", [{"_id": str(d), "title": "", "text": f"passage {d}"} for d in range(10)])
    (ms / "qrels").mkdir()
    (ms / "qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\na\t0\t1\nb\t5\t1\n")
    grouped = [{"qid": "a", "docid": ["1", "2", "3"], "score": [9, 8, 7]}]
    grouped.append({"qid": "b", "docid": ["6", "7", "8"], "score": [9, 8, 7]})
    jsonl(sy / "real_data/bm25_top_docs/train_qrels.jsonl", grouped)
    made = [(q, g, f"{q}_l_{g}_d_0") for q in "ab" for g in (3, 2, 1, 0)]
    jsonl(sy / "llama33_70b/corpus.jsonl", [{"_id": d, "text": f"made for {q} at {g}"} for q, g, d in made])
    (sy / "llama33_70b/qrels").mkdir()
    (sy / "llama33_70b/qrels/train.tsv").write_text("".join(f"{q}\t{d}\t{g}\n" for q, g, d in made))
    return tmp_path / "hub"


def groups(name: str, hub: Path) -> GroupSource:
    settings = resolved(name).replace({"data.root": str(hub)}, derived("test"))
    return groups_of(settings, open_training_source(settings))


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_those_of_sycl(name: str) -> None:
    c = resolved(name)
    assert (c.model.name, c.encoder.pooling, c.encoder.normalize) == ("facebook/contriever", "mean", "false")
    assert (c.encoder.query_max_len, c.encoder.passage_max_len) == (256, 256)
    assert (c.train.lr, c.train.epochs, c.train.warmup_ratio, c.train.warmup_shape) == (1e-5, 1.0, 0.05, "log")
    assert (c.batch.global_, c.batch.loss) == (256, 64)
    assert (c.loss.temperature, c.loss.inbatch, c.eval.during) == (1.0, "all", "off")
    assert c.data.short == "cycle"
    expected = {
        "infonce": [("real-binary", 3), ("synth-binary", 3)],
        "ws2": [("synth-multilevel", 4), ("synth-plus-real", 7)],
    }
    assert (name.removeprefix("sycl-"), c.data.group_size) in expected[c.loss.name]


def test_four_devices_of_sixteen_queries_share_negatives_and_accumulate_four_losses() -> None:
    c = resolved("sycl-synth-multilevel").replace({"hardware.devices": 4, "batch.micro": 16}, derived("test"))
    plan = batch_plan.plan(c).as_dict()
    assert (plan["loss"], plan["losses a step"], plan["negatives_per_query"]) == (64, 4, f"at most {64 * 4 - 1}")


def test_real_binary_groups_are_a_judged_passage_and_two_of_three_bm25_ones(hub: Path) -> None:
    group = groups("sycl-real-binary", hub).group(0, 0)
    assert group.labels == (1.0, 0.0, 0.0)
    assert group.passage_ids[0] == "0"
    assert set(group.passage_ids[1:]) < {"1", "2", "3"}


def test_synth_binary_takes_grades_two_and_three_as_positives(hub: Path) -> None:
    source = groups("sycl-synth-binary", hub)
    first, second = source.group(0, 0), source.group(0, 1)
    assert {first.passage_ids[0], second.passage_ids[0]} == {"a_l_3_d_0", "a_l_2_d_0"}
    assert set(first.passage_ids[1:]) == {"a_l_1_d_0", "a_l_0_d_0"}


def test_a_short_group_is_refilled_with_negatives_as_by_the_original(hub: Path) -> None:
    only = [{"qid": "a", "docid": ["1"], "score": [9]}, {"qid": "b", "docid": ["6", "7"], "score": [9, 8]}]
    jsonl(hub / "BatsResearch/sycl/real_data/bm25_top_docs/train_qrels.jsonl", only)
    group = groups("sycl-real-binary", hub).group(0, 0)
    assert (group.passage_ids, group.labels) == (("0", "1", "1"), (1.0, 0.0, 0.0))


def test_synth_multilevel_groups_hold_one_passage_of_each_grade(hub: Path) -> None:
    assert sorted(groups("sycl-synth-multilevel", hub).group(1, 0).labels) == [0.0, 1.0, 2.0, 3.0]


def test_synth_plus_real_labels_a_real_positive_3_and_bm25_negatives_1(hub: Path) -> None:
    group = groups("sycl-synth-plus-real", hub).group(0, 0)
    real = {i.rpartition("/")[2]: label for i, label in zip(group.passage_ids, group.labels, strict=True)}
    assert len(real) == 7
    assert real.pop("0") == 3.0
    assert [real.pop(i) for i in ("1", "2", "3") if i in real] == [1.0, 1.0]
    assert real == {"a_l_3_d_0": 3.0, "a_l_2_d_0": 2.0, "a_l_1_d_0": 1.0, "a_l_0_d_0": 0.0}


def test_configurations_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = config.resolve(config.from_sets(["data.source=recipe:sycl-synth-multilevel.json"]))
    assert open_training_source(settings).name == "sycl-synth-multilevel"


def test_a_configuration_that_is_not_shipped_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"recipe:sycl-real\.json.*Did you mean 'sycl-real-binary\.json'"):
        open_collection("recipe:sycl-real.json")


@pytest.mark.parametrize("name", shipped_files.names("recipes"))
def test_every_recipe_resolves_with_and_without_its_overlay(name: str) -> None:
    assert recipes_index.check(name) == []


def overlaid(name: str) -> GroupSource:
    settings = config.resolve(recipes_index.layer(name, tiny=True))
    return groups_of(settings, open_training_source(settings))


@pytest.mark.parametrize("name", NAMES)
def test_an_overlay_reads_the_sources_of_its_recipe_by_the_same_rules_in_small_files(name: str) -> None:
    data = paths.shipped("recipes") / "data"
    shapes = []
    for file in (data / f"{name}.json", data / f"tiny-{name.removeprefix('sycl-')}.json"):
        sides = json.loads(file.read_text()).items()
        named = [(side, {k: v for k, v in one.items() if k != "source"}) for side, listed in sides for one in listed]
        of_files = [v for _, one in named for k, v in one.items() if k.endswith("_path")]
        assert all(v.startswith("hf://") for v in of_files) or not any("://" in v for v in of_files)
        # the same file in the same places, whatever it is called
        shapes.append([(s, {k: of_files.index(v) if v in of_files else v for k, v in one.items()}) for s, one in named])
    assert shapes[0] == shapes[1]
    small = config.resolve(recipes_index.layer(name, tiny=True))
    assert (small.data.group_size, small.loss.name) == (resolved(name).data.group_size, resolved(name).loss.name)


def test_overlays_train_on_what_their_recipes_are_named_for() -> None:
    first = {name.removeprefix("sycl-"): overlaid(name) for name in NAMES}
    assert len({source.fingerprint for source in first.values()}) == 4
    assert {len(source) for source in first.values()} == {24}
    groups = {name: source.group(0, 0) for name, source in first.items()}
    of_cranfield = set(open_collection("cranfield").corpus.ids)
    assert {i.rpartition("/")[2] for i in groups["real-binary"].passage_ids} <= of_cranfield
    assert groups["real-binary"].labels == groups["synth-binary"].labels == (1.0, 0.0, 0.0)
    assert sorted(groups["synth-multilevel"].labels) == [0.0, 1.0, 2.0, 3.0]
    assert sorted(groups["synth-plus-real"].labels) == [0.0, 1.0, 1.0, 1.0, 2.0, 3.0, 3.0]
    for name in ("synth-binary", "synth-multilevel"):
        assert all("_l_" in i for i in groups[name].passage_ids), name


def test_the_synthetic_passages_of_the_overlays_are_pieces_of_the_built_in_collection() -> None:
    folder = paths.shipped("recipes") / "data" / "tiny"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 20_000
    corpus = open_collection("cranfield").corpus
    texts = "\n".join(corpus.texts(slice(None)))
    for line in (folder / "synthetic.jsonl").read_text().splitlines():
        assert json.loads(line)["text"] in texts


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_overlay_trains_on_the_built_in_collection(name: str, tmp_path: Path, tiny_encoder: Path) -> None:
    with workspace(tmp_path, tiny_encoder) as place:
        done = place.ok(f"irctl train --recipe {name} --tiny --json").json
    assert done["steps"] == 30
