"""hardneg.every: negatives mined again by the model in training, also where the run was broken off in between."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from word_collection import WORDS, word_collection

from irctl import config as settings
from irctl.data.judgements.negatives import provenance_path, read_negatives
from irctl.errors import ConfigError, RunFailed
from irctl.ledger import query
from irctl.ledger.recording import RunHandle, start_run
from irctl.models.encoder import load_encoder
from irctl.models.transforms.files import hash_texts
from irctl.origins import derived
from irctl.paths import RunPaths
from irctl.pipelines.hardneg import for_training, hardneg
from irctl.pipelines.train import train as pipeline
from irctl.training import batch_plan
from irctl.training.groups.opening import open_groups
from irctl.training.method import Context
from irctl.training.run_files import journal, refreshed_negatives
from irctl.types import Silent

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BEIR folder: document i has words i and i - 1, query i is word i; 8 of the 12 train."""
    return word_collection(tmp_path_factory.mktemp("refresh") / "toy", train=range(8))


def configuration(model: Path, toy: str, **more: Any) -> settings.Config:
    given = {
        "model.name": str(model),
        "data.source": toy,
        "data.group_size": 3,
        "batch.global": 4,
        "train.epochs": 3,
        "train.lr": 1e-2,
        "train.warmup_ratio": 0,
        "train.schedule": "constant",  # so that a shorter training is the beginning of a longer one
        "eval.during": "off",
        "hardneg.num": 2,
        **{k.replace("__", "."): v for k, v in more.items()},
    }
    return settings.resolve({k: (v, derived("test")) for k, v in given.items()})


def trained(config: settings.Config) -> RunHandle:
    run = start_run(command="train", argv=["irctl", "train"], config=config)
    with run:
        pipeline.train(config, run, Silent())
    return run


@cache
def mining(model: Path, toy: str) -> RunHandle:
    """The run that mines after every epoch, trained once for the tests that look at its files."""
    return trained(configuration(model, toy, hardneg__every=1))


def vectors(run: RunHandle, toy: str) -> np.ndarray:
    return load_encoder(configuration(run.paths.model, toy)).encode(WORDS)


def mined(run: RunHandle, epochs: int) -> dict[str, list[str]]:
    return {n.query_id: n.document_ids for n in read_negatives(run.paths.negatives / f"epoch-{epochs:04d}.jsonl")}


def test_negatives_are_those_of_the_model_at_the_end_of_each_such_epoch(tiny_encoder: Path, toy: str) -> None:
    run = mining(tiny_encoder, toy)
    assert sorted(p.name for p in run.paths.negatives.iterdir() if p.suffix == ".jsonl") == [
        "epoch-0001.jsonl",
        "epoch-0002.jsonl",
    ]
    assert not [p for p in run.paths.negatives.iterdir() if p.is_dir()]  # models and vectors are gone
    events = journal.events(run.paths.metrics)
    assert [(e["epochs"], e["step"]) for e in events if e["event"] == "mine"] == [(1, 2), (2, 4)]
    assert next(e for e in events if e["event"] == "done")["steps"] == 6
    first = trained(configuration(tiny_encoder, toy, train__max_steps=2))
    config = configuration(first.paths.model, toy)
    with start_run(command="hardneg", argv=["irctl", "hardneg"], config=config) as by_hand:
        made = hardneg.hardneg(config, by_hand, Silent(), hardneg.MiningRequest(retriever="dense"))
    expected = {n.query_id: n.document_ids for n in read_negatives(Path(made["negatives_file"]))}
    assert mined(run, 1) == expected and len(expected) == 8
    about = json.loads(provenance_path(run.paths.negatives / "epoch-0001.jsonl").read_text())
    assert about["retriever"] == "dense" and about["model_fingerprint"]
    assert [
        a["path"].rpartition("/")[2] for a in query.artifacts(query.find_run(run.id), role="out", kind="negatives")
    ] == ["epoch-0001.jsonl", "epoch-0002.jsonl"]


def test_the_model_names_the_negatives_of_every_round(
    tiny_encoder: Path, toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last round's were all that isotropy left out."""
    paths = RunPaths(tmp_path / "run")
    paths.negatives.mkdir(parents=True)
    monkeypatch.setattr(refreshed_negatives, "due", lambda *_: 2)
    earlier = {1: refreshed_negatives.file(paths, 1), 2: refreshed_negatives.file(paths, 2)}
    for file, document in ((tmp_path / "first.jsonl", "d9"), (earlier[1], "d10"), (earlier[2], "d11")):
        rows = ({"qid": f"q{i}", "docid": [document], "score": [0.5]} for i in range(8))
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = configuration(tiny_encoder, toy, hardneg__every=1, data__negatives=str(tmp_path / "first.jsonl"))
    opened = open_groups(config, Context(batch_plan.plan(config), Silent(), paths))
    documents = [json.loads(line) for line in (Path(toy) / "corpus.jsonl").read_text().splitlines()]
    seen = [d["_id"] for d in documents if hash_texts([d["text"]])[0] in opened.text_hashes]
    assert seen == [f"d{i}" for i in range(12) if i != 8]


def test_new_negatives_change_what_is_learned_and_none_are_mined_for_the_end(tiny_encoder: Path, toy: str) -> None:
    plain = trained(configuration(tiny_encoder, toy))
    rarely = trained(configuration(tiny_encoder, toy, hardneg__every=3))
    assert not rarely.paths.negatives.exists()
    np.testing.assert_array_equal(vectors(rarely, toy), vectors(plain, toy))
    assert not np.allclose(vectors(mining(tiny_encoder, toy), toy), vectors(plain, toy), atol=1e-6)


@pytest.mark.parametrize("where", ("before", "after"))
def test_a_run_broken_off_at_the_mining_continues_to_the_same_model(
    tiny_encoder: Path, toy: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    config = configuration(tiny_encoder, toy, hardneg__every=1)
    whole = mining(tiny_encoder, toy)
    mine = for_training.mine_again

    def broken(*args: Any, **more: Any) -> None:
        if where == "after":
            mine(*args, **more)
        raise RunFailed("broken off")

    run = start_run(command="train", argv=["irctl", "train"], config=config)
    with monkeypatch.context() as patch, pytest.raises(RunFailed), run:
        patch.setattr(for_training, "mine_again", broken)
        pipeline.train(config, run, Silent())
    with start_run(command="train", argv=["irctl", "train"], config=config, resume=run.paths.folder) as again:
        pipeline.train(config, again, Silent(), resume=True)
    assert not [p for p in run.paths.negatives.iterdir() if p.is_dir()]
    assert mined(run, 1) == mined(whole, 1) and mined(run, 2) == mined(whole, 2)
    np.testing.assert_array_equal(vectors(run, toy), vectors(whole, toy))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data__negatives": "none"}, "this training has no mined negatives"),
        ({"train__save_state": False}, "train.save_state=false keeps none"),
        ({"hardneg__rescore": "a/b"}, "irctl train mines by BM25 alone"),
    ],
)
def test_mining_again_is_refused_where_it_cannot_be(
    tiny_encoder: Path, toy: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        trained(configuration(tiny_encoder, toy, hardneg__every=1, **values))
