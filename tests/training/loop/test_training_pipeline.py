"""irctl train from settings to model, on the built-in collection with a tiny encoder."""

from __future__ import annotations

import dataclasses
import json
import math
import socket
from pathlib import Path

import numpy as np
import pytest

from irctl import config as settings
from irctl.errors import ConfigError, DataError, RunFailed
from irctl.ledger import query
from irctl.ledger.recording import start_run
from irctl.origins import MEASURED, MINED, SET, Kind, Origin, derived
from irctl.pipelines.train import dry_run, learning_rate, memory, parameters
from irctl.pipelines.train import train as pipeline
from irctl.training.processes import launch
from irctl.training.run_files import journal
from irctl.types import Silent


def configuration(model: Path | str, **more):
    given = {
        "model.name": str(model),
        "data.max_queries": 24,
        "data.group_size": 4,
        "encoder.query_max_len": 16,
        "encoder.passage_max_len": 24,
        "batch.global": 8,
        "train.epochs": 1.0,
        "train.lr": 1e-3,
        **more,
    }
    return settings.resolve({k: (v, derived("test")) for k, v in given.items()})


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> str:
    """A BEIR folder of 30 documents, 12 training and 4 dev queries, grades 2 and 1. Query q is about the words of q."""
    folder = tmp_path_factory.mktemp("beir")
    words = "wing flow heat shock jet plate cone wave gas drag lift skin noise fuel stall mach".split()

    def text(q: int, other: int) -> str:
        return f"{words[q]} {words[q]} {words[(q + other) % 16]}"

    documents = [{"_id": f"d{n}", "title": "", "text": text(n % 16, 1 + n // 16)} for n in range(30)]
    queries = [{"_id": f"q{q}", "text": words[q]} for q in range(16)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qrels").mkdir()
    for split, wanted in (("train", range(12)), ("dev", range(12, 16))):
        rows = [f"q{q}\td{q}\t2\n" + (f"q{q}\td{q + 16}\t1\n" if q + 16 < 30 else "") for q in wanted]
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))
    return str(folder)


def train(config, reporter=None, **options) -> tuple[dict, str]:
    with start_run(command="train", argv=["irctl", "train"], config=config) as run:
        return pipeline.train(config, run, reporter or Silent(), **options), run.id


def test_default_data_trains_and_the_model_opens_in_sentence_transformers(tiny_encoder, tmp_path, in_process) -> None:
    from sentence_transformers import SentenceTransformer

    said = Silent()
    payload, run_id = train(
        configuration(tiny_encoder, **{"train.method": "sycl", "loss.name": "ws2"}), said, out=str(tmp_path / "copy")
    )
    run = query.find_run(run_id)
    assert payload["steps"] == 3 and payload["negatives_per_query"] == 8 * 4 - 1
    assert 0 < payload["dev_before"] <= 1 and 0 < payload["dev_after"] <= 1
    assert SentenceTransformer(str(tmp_path / "copy"), device="cpu").encode(["wing flutter"]).shape == (1, 32)
    about = json.loads((run.paths.model / "irctl.json").read_text())
    assert about["loss"] == "ws2" and about["positive_threshold"] == 2 and about["run"] == run_id
    assert about["temperatures"] == payload["temperatures"]
    kinds = {(a["role"], a["kind"]): a for a in query.artifacts(query.find_run(run_id))}
    assert {("in", "collection"), ("in", "negatives"), ("in", "model"), ("out", "model")} <= set(kinds)
    assert kinds["out", "model"]["sha256"] == payload["model_fingerprint"] != kinds["in", "model"]["sha256"]
    assert run.columns["global_batch"] == 8 and run.columns["negatives_per_query"] == 31
    assert any("dev nDCG@10 over candidates 0." in line for line in [*said.lines, *payload["lines"]])
    stored = settings.resolve(settings.from_file(run.paths.config))
    assert stored.origin("loss.temperature") == MEASURED
    assert stored.loss.temperature == payload["temperatures"]["ws2"]
    assert stored.origin("data.negatives") == MINED and Path(stored.data.negatives).is_file()


def test_a_training_that_ends_below_half_of_its_start_on_dev_says_so(
    tiny_encoder, small, in_process, monkeypatch
) -> None:
    from irctl.training.groups.group_method import GroupMethod

    for last, is_said in ((0.3, True), (0.41, False)):
        scores = iter([0.8, last])
        monkeypatch.setattr(GroupMethod, "evaluate", lambda self, scores=scores: {"nDCG@10": next(scores)})
        said = Silent()
        train(configuration(tiny_encoder, **{"train.max_steps": 1, "data.source": small}), said)
        told = [line for line in said.lines if "fell from 0.8000 before training to 0.3000, below half" in line]
        assert bool(told) == is_said


def test_runs_show_has_the_dev_score_of_the_saved_model_with_its_step(
    tiny_encoder, small, in_process, monkeypatch, capsys
) -> None:
    from irctl.commands.runs.view import print_run
    from irctl.training.groups.group_method import GroupMethod

    scores = iter([0.5, 0.625, 0.25])
    monkeypatch.setattr(GroupMethod, "evaluate", lambda self: {"nDCG@10": next(scores)})
    values = {"train.max_steps": 2, "train.save": "1", "data.source": small}
    payload, run_id = train(configuration(tiny_encoder, **values))
    assert (payload["steps"], payload["model_step"], payload["dev_after"]) == (2, 1, 0.625)
    print_run(query.find_run(run_id))
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "nDCG@10 over candidates, step 1" in line]
    assert "0.625" in row


def test_the_stored_settings_rerun_to_the_same_weights(tiny_encoder, small, in_process) -> None:
    first, run_id = train(configuration(tiny_encoder, **{"train.max_steps": 2, "data.source": small}))
    again, _ = train(settings.resolve(settings.from_file(query.find_run(run_id).paths.config)))
    assert again["model_fingerprint"] == first["model_fingerprint"]
    assert again["last_loss"] == first["last_loss"]


def test_a_configuration_of_several_sources_trains_and_keeps_the_last_model(
    tiny_encoder, small, tmp_path, in_process
) -> None:
    files = {"query_path": f"{small}/queries.jsonl", "corpus_path": f"{small}/corpus.jsonl"}
    (tmp_path / "low.jsonl").write_text('{"qid": "q0", "docid": ["d5", "d6"], "score": [0, 0]}\n')
    sources = [{"qrel_path": f"{small}/qrels/train.tsv", **files}, {"qrel_path": str(tmp_path / "low.jsonl"), **files}]
    (tmp_path / "graded.json").write_text(json.dumps({"mqrel": sources}))
    said = Silent()
    values = {"data.source": str(tmp_path / "graded.json"), "loss.name": "ws2", "train.method": "sycl"}
    payload, _ = train(configuration(tiny_encoder, **values), said)
    assert payload["steps"] == payload["model_step"] == 2 and payload["dev_after"] is None
    assert any("no dev split" in line for line in said.lines)
    with pytest.raises(ConfigError, match="lists its negatives itself"):
        train(configuration(tiny_encoder, **values, **{"data.negatives": str(tmp_path / "low.jsonl")}))


def test_training_on_graded_data_lowers_the_loss(tiny_encoder, small, in_process) -> None:
    values = {"loss.name": "listnet", "data.source": small, "batch.global": 12, "train.max_steps": 12, "train.lr": 5e-3}
    _, run_id = train(configuration(tiny_encoder, **values, **{"train.save": "12", "eval.during": "off"}))
    steps = journal.steps(query.find_run(run_id).paths.metrics)
    losses = [steps[s]["loss"] for s in sorted(steps)]
    assert losses[-1] < 0.9 * losses[0] and all(map(math.isfinite, losses))


def test_gradient_checkpointing_and_chunks_leave_the_gradient_as_it_is(tiny_encoder, small, tmp_path) -> None:
    import torch

    from irctl.methods.dense import Method
    from irctl.paths import RunPaths
    from irctl.training import batch_plan
    from irctl.training.method import Context

    found = []
    for micro, checkpointing in ((8, False), (8, True), (3, True)):
        values = {"data.source": small, "train.gradient_checkpointing": checkpointing, "loss.temperature": 0.2}
        config = configuration(tiny_encoder, **values, **{"batch.micro": 8})
        plan = dataclasses.replace(batch_plan.plan(config), micro=micro)
        method = Method.build(config, Context(plan, Silent(), RunPaths(tmp_path)))
        method.module.eval()  # no dropout, but gradients
        for part in method.module.modules():
            if hasattr(part, "gradient_checkpointing"):
                part.training = True  # transformers checkpoints in training mode only
        loss = method.step(method.collate([(i, 0) for i in range(8)])).loss
        loss.backward()
        found.append((loss.item(), torch.cat([p.grad.flatten() for p in method.parameters() if p.grad is not None])))
    for loss, gradient in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-5)
        assert torch.allclose(gradient, found[0][1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("during", ["corpus", "candidates"])
def test_dev_score_is_that_of_the_evaluation_code(tiny_encoder, small, during: str) -> None:
    """Against a plain loop over the dev queries."""
    from irctl.data.collections.open import open_collection
    from irctl.data.collections.training_source import JudgedSplit
    from irctl.metrics.ranking.evaluate import evaluate
    from irctl.models.encoder import load_encoder
    from irctl.paths import RunPaths
    from irctl.training.groups.dev_score import DevScore
    from irctl.training.groups.sources import dev_of

    config = configuration(tiny_encoder, **{"eval.during": during, "data.source": small})
    collection = open_collection(small)
    encoder = load_encoder(config)
    data = dev_of(config, JudgedSplit(collection, "train"), RunPaths(Path("nowhere")))
    got = DevScore(data, encoder)(lambda queries, documents: queries @ documents.T)["nDCG@10"]
    corpus, qrels, queries = collection.corpus, collection.qrels("dev"), collection.queries("dev")
    vectors = dict(zip(corpus.ids, encoder.encode(corpus.texts(slice(None))), strict=True))
    run = {}
    for name, text in zip(queries.ids, queries.texts, strict=True):
        query = encoder.encode([text], "query")[0]
        ids = list(corpus.ids) if during == "corpus" else list(qrels[name])
        run[name] = {d: float(vectors[d] @ query) for d in ids}
    assert got == pytest.approx(evaluate(run, qrels, "nDCG@10").means["nDCG@10"], abs=1e-4)


def test_a_probe_measures_the_memory_of_two_steps_and_leaves_no_run(tiny_encoder, in_process) -> None:
    config = configuration(tiny_encoder)
    assert dry_run.describe(config)["memory"]["activations"] == "not estimated"
    said = dry_run.describe(config, probe=True)["memory"]["activations"]
    assert float(said.split(" GiB")[0]) > 0.1 and "over two steps" in said, said
    assert query.list_runs() == []


def test_resume_without_a_checkpoint_is_refused(tiny_encoder) -> None:
    with pytest.raises(DataError, match=r"no checkpoint there\. Drop --resume to start new"):
        train(configuration(tiny_encoder), resume=True)


def test_negatives_that_are_neither_file_nor_run_are_refused(tiny_encoder) -> None:
    with pytest.raises(DataError, match=r"data\.negatives=nothing: neither a file nor a run"):
        train(configuration(tiny_encoder, **{"data.negatives": "nothing"}))


def test_a_frozen_encoder_has_nothing_to_train(tiny_encoder, small, in_process) -> None:
    with pytest.raises(ConfigError, match="nothing is left to train"):
        train(configuration(tiny_encoder, **{"model.freeze_base": True, "data.source": small}))


@pytest.fixture
def no_sockets(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a dry run asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"eval.during": "off"}, "eval.patience=2: eval.during=off measures nothing to stop by"),
        ({"data.split": "dev"}, "has no dev split apart from 'dev' to stop by"),
    ],
)
def test_patience_without_a_dev_score_is_refused(tiny_encoder, small, values, message) -> None:
    config = configuration(tiny_encoder, **{"data.source": small, "eval.patience": 2, **values})
    with pytest.raises(ConfigError, match=message):
        dry_run.describe(config)
    with pytest.raises(ConfigError, match=message):
        train(config)


def test_a_stalled_dev_score_ends_the_training_of_a_real_encoder(tiny_encoder, small, in_process) -> None:
    # a rate of 1e-12 changes no ranking: the second evaluation after the first epoch's is no better, nor the third
    values = {"eval.patience": 2, "train.epochs": 9.0, "train.lr": 1e-12, "batch.global": 12, "data.source": small}
    payload, _ = train(configuration(tiny_encoder, **values))
    assert payload["steps"] == 3 and payload["model_step"] == 1  # an epoch is one step
    assert payload["dev_after"] == payload["dev_before"]


def test_a_loss_that_the_labels_do_not_fit_is_refused_before_training(tiny_encoder, small) -> None:
    config = configuration(tiny_encoder, **{"data.source": small, "loss.name": "infonce", "loss.inbatch_label": 1.0})
    for work in (dry_run.describe, train):
        with pytest.raises(ConfigError, match="take other queries' passages for positives"):
            work(config)


def test_a_threshold_chooses_the_positives_of_binary_groups(tiny_encoder, small, tmp_path) -> None:
    values = {"data.source": small, "data.binary": True, "loss.positive_threshold": 2.0, "data.negatives": "none"}
    plan = dry_run.describe(configuration(tiny_encoder, **values))
    shown = plan["data"]
    assert shown["queries"] == 12 and shown["group sizes"] == "2 x 12" and shown["positive from grade"] == 2
    assert shown["a group"] == "1.00 positives, 1.00 other judged, 0.00 mined (means of 12 groups)"
    files = {"query_path": f"{small}/queries.jsonl", "corpus_path": f"{small}/corpus.jsonl"}
    one = {"qrel_path": f"{small}/qrels/train.tsv", **files}
    (tmp_path / "graded.json").write_text(json.dumps({"mqrel": [one]}))
    values["data.source"] = str(tmp_path / "graded.json")
    assert dry_run.describe(configuration(tiny_encoder, **values))["data"]["a group"] == shown["a group"]
    sides = {"pos_mqrel": [one | {"min_score": 2}], "neg_mqrel": [one | {"max_score": 2}]}
    (tmp_path / "graded.json").write_text(json.dumps(sides))
    for given in ({}, {"data.binary": ""}):
        with pytest.raises(ConfigError, match="says itself what is positive"):
            dry_run.describe(configuration(tiny_encoder, **values | given))


def test_dry_run_counts_judgements_of_a_plain_folder_by_grade(tiny_encoder, small) -> None:
    plan = dry_run.describe(configuration(tiny_encoder, **{"data.source": small, "data.binary": True}))
    shown, (judged,) = plan["data"], plan["sources"]
    assert judged.startswith("judged (graded): 12 queries; 24 judgements by score {1: 12, 2: 12}; 24 kept")
    assert shown["queries"] == 12 and "not among the sources below" in shown["negatives"]
    values = {"data.source": small, "data.negatives": "none", "loss.name": "ranknet"}
    given = dry_run.describe(configuration(tiny_encoder, **values))["data"]
    assert given["group sizes"] == "2 x 12" and given["negatives"] == "none"


def test_the_record_has_the_negatives_of_the_groups_that_are_drawn(tiny_encoder, small, monkeypatch) -> None:
    def end(*args, **more) -> None:
        raise RunFailed("enough")

    monkeypatch.setattr(launch, "run", end)
    values = {"data.source": small, "data.negatives": "none", "data.group_size": 8, "loss.name": "infonce"}
    with pytest.raises(RunFailed, match="enough"):
        train(configuration(tiny_encoder, **values))
    # 8 queries, each with a positive and nothing else (both judged passages are positives): 7 of other queries
    assert query.find_run("latest").columns["negatives_per_query"] == 7
    assert dry_run.describe(configuration(tiny_encoder, **values))["batch"]["negatives_per_query"] == 7


def test_the_settings_of_deepspeed_lie_in_the_run_folder(tiny_encoder, small, monkeypatch) -> None:
    def end(*args, **more) -> None:
        raise RunFailed("enough")

    monkeypatch.setattr(launch, "run", end)
    for stage in (2, 0):
        config = configuration(tiny_encoder, **{"data.source": small, "hardware.zero_stage": stage})
        with pytest.raises(RunFailed, match="enough"):
            train(config)
        at = query.find_run("latest").paths.deepspeed
        assert at.is_file() == (stage > 0)
        assert not stage or json.loads(at.read_text())["zero_optimization"]["stage"] == stage


def test_dry_run_shows_data_batch_steps_launch_and_memory(minilm, no_sockets) -> None:
    shown = dry_run.describe(
        settings.resolve({"loss.name": ("ws2", derived("test")), "hardware.micro_batch": (4, derived("test"))})
    )
    assert shown["data"]["queries"] == 135 and shown["data"]["largest grade"] == 4
    assert shown["batch"]["negatives_per_query"] == "at most 249" and shown["batch"]["chunks"] == 8
    assert shown["steps"]["steps"] == 15
    assert "irctl.training.processes.worker" in shown["launch"]
    assert shown["deepspeed"].startswith("not used")
    assert shown["memory"]["parameters"] == "22,713,216"
    assert "0.34 GiB a device (16 bytes a parameter)" in shown["memory"]["weights and optimizer"]


def test_dry_run_of_data_and_model_that_are_elsewhere_needs_no_network(tmp_path, no_sockets) -> None:
    source = {
        "qrel_path": "hf://datasets/a/b/qrels.tsv",
        "query_path": "hf://datasets/a/b/queries.jsonl",
        "corpus_path": "hf://datasets/a/b/corpus.jsonl",
    }
    (tmp_path / "graded.json").write_text(json.dumps({"mqrel": [source]}))
    config = settings.resolve(
        {
            "data.source": (str(tmp_path / "graded.json"), derived("test")),
            "model.name": ("facebook/contriever", derived("test")),
            "hardware.devices": (4, derived("test")),
            "hardware.zero_stage": (2, derived("test")),
        }
    )
    shown = dry_run.describe(config)
    assert len(shown["not on this machine"]) == 3
    assert json.loads(shown["deepspeed"])["zero_optimization"]["stage"] == 2
    assert "optimizer" not in json.loads(shown["deepspeed"]) and "scheduler" not in json.loads(shown["deepspeed"])
    assert "not on this machine" in shown["memory"]["weights and optimizer"]
    assert "torch.distributed.run" in shown["launch"]


def test_memory_of_a_model_is_numbers_that_can_be_worked_out_by_hand(tmp_path) -> None:
    import safetensors.numpy

    safetensors.numpy.save_file({"a": np.zeros((512, 1024), np.float16)}, tmp_path / "model.safetensors")
    each = [settings.from_sets(["train.keep=3", "train.epochs=9", f"hardware.zero_stage={stage}"]) for stage in (0, 2)]
    plain, shared = (memory.of_model(tmp_path, settings.resolve(sets), 4) for sets in each)
    assert plain.parameters == 2**19 and plain.state_bytes == 16 and plain.device_gib == 2**19 * 16 / 2**30
    assert shared.state_bytes == 2 + 14 / 4, "a quarter of what ZeRO-2 shares out"
    one = 2**19 * 12 + memory.CHECKPOINT_BYTES
    assert plain.disk_gib == 5 * one / 2**30, "three checkpoints, the best and a new one, with two moments"


def test_parameters_are_counted_from_the_headers(tmp_path) -> None:
    import safetensors.numpy

    safetensors.numpy.save_file({"a": np.zeros((3, 4)), "b": np.zeros(5)}, tmp_path / "model.safetensors")
    assert parameters.count_parameters(tmp_path) == 17
    for damaged in (b"", b"\x08\0\0\0\0\0\0\0not json", b"\x02\0\0\0\0\0\0\0[]", b"\xff" * 9):
        (tmp_path / "model.safetensors").write_bytes(damaged)
        with pytest.raises(DataError, match="not a safetensors file"):
            parameters.count_parameters(tmp_path)


def test_learning_rate_follows_the_batch_only_where_asked() -> None:
    origin = Origin(Kind.RECIPE, "cranfield-ws2.toml", 20)
    recipe = {"batch.global": (16, origin), "train.lr": (1e-4, origin)}

    def lr(**more) -> tuple[float, list[str]]:
        said = Silent()
        config = settings.resolve(recipe, {k: (v, SET) for k, v in more.items()})
        return learning_rate.scale_lr(config, said).train.lr, said.lines

    assert lr() == (1e-4, [])
    kept, lines = lr(**{"batch.global": 64})
    assert kept == 1e-4 and "the recipe has 16" in lines[0]
    assert lr(**{"batch.global": 64, "train.lr_scaling": "linear"})[0] == pytest.approx(4e-4)
    assert lr(**{"batch.global": 64, "train.lr_scaling": "sqrt"})[0] == pytest.approx(2e-4)
    with pytest.raises(ConfigError, match="the run has none"):
        learning_rate.scale_lr(settings.resolve({"train.lr_scaling": ("sqrt", SET)}), Silent())
