"""A frozen base under a head: its vectors are made once, training runs on rows of them, what is saved is whole."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from word_collection import WORDS

from irctl import config as settings
from irctl import plugins
from irctl.errors import ConfigError
from irctl.ledger import query
from irctl.ledger.recording import start_run
from irctl.models.encoder import TextEncoder, load_encoder
from irctl.origins import derived
from irctl.paths import RunPaths
from irctl.pipelines.train import train as pipeline
from irctl.training import batch_plan
from irctl.training.groups.frozen_base import FrozenBase
from irctl.training.method import Context
from irctl.training.run_files import checkpoints
from irctl.types import Silent

pytestmark = pytest.mark.usefixtures("in_process")


def configuration(model: Path | str, toy: str, **more: Any) -> settings.Config:
    given = {
        "model.name": str(model),
        "model.output_dim": "base",
        "model.freeze_base": True,
        "data.source": toy,
        "data.group_size": 3,
        "batch.global": 8,
        "train.max_steps": 3,
        "train.lr": 1e-2,
        **{k.replace("__", "."): v for k, v in more.items()},
    }
    return settings.resolve({k: (v, derived("test")) for k, v in given.items()})


def trained(config: settings.Config) -> tuple[dict[str, Any], RunPaths]:
    with start_run(command="train", argv=["irctl", "train"], config=config) as run:
        payload = pipeline.train(config, run, Silent())
    return payload, query.find_run(run.id).paths


def opened(config: settings.Config, folder: Path) -> Any:
    paths = RunPaths(folder)
    context = Context(batch_plan.plan(config), Silent(), paths)
    return plugins.load("methods", config.train.method).Method.build(config, context)


def encoded(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """Counts the texts that go through an encoder, by side and text."""
    seen: Counter[tuple[str, str]] = Counter()
    encode = TextEncoder.encode

    def count(self: TextEncoder, texts: Any, side: str = "passage", *others: Any, **more: Any) -> Any:
        seen.update((side, text) for text in texts)
        return encode(self, texts, side, *others, **more)

    monkeypatch.setattr(TextEncoder, "encode", count)
    return seen


@pytest.mark.parametrize("method", ["dense", "sycl"])
def test_every_text_of_training_and_dev_goes_through_the_base_once_and_not_again_with_another_seed(
    tiny_encoder: Path, toy: str, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    seen = encoded(monkeypatch)
    config = configuration(tiny_encoder, toy, train__method=method, model__head_init="torch")
    payload, _ = trained(config)
    assert payload["dev_before"] is not None and payload["steps"] == 3
    assert set(seen.values()) == {1}
    assert {text for side, text in seen if side == "query"} == set(WORDS)
    before = seen.total()
    trained(config.replace({"run.seed": 7}, derived("test")))
    assert seen.total() == before


def test_the_saved_model_gives_what_training_computed_and_its_base_is_the_one_it_started_from(
    tiny_encoder: Path, toy: str, tmp_path: Path
) -> None:
    config = configuration(tiny_encoder, toy)
    _, paths = trained(config.replace({"eval.during": "off"}, derived("test")))  # the last step's model
    last = checkpoints.newest(paths.checkpoints)
    weights = safetensors.torch.load_file(last.folder / checkpoints.WEIGHTS)
    assert sorted(weights) == [f"method.module.{i}.linear.{part}" for i in (0, 1) for part in ("bias", "weight")]
    method = opened(config, tmp_path / "again")
    assert isinstance(method.encoder, FrozenBase)
    method.load_state_dict({k.removeprefix("method."): v for k, v in weights.items()})
    saved = load_encoder(settings.resolve(), str(paths.model))
    batch = method.collate([(i, 0) for i in range(8)])
    rows = [method.training_on.batches.source.rows(i, 0) for i in range(8)]
    texts = method.training_on.batches.source.passage_texts(np.concatenate([r.passage_rows_K for r in rows]))
    with torch.no_grad():
        (chunk,) = batch["chunks"]
        np.testing.assert_allclose(method.encoder.forward(chunk["passage"]), saved.encode(texts), atol=1e-5)
    np.testing.assert_allclose(
        method.encoder.encode(WORDS[8:12], "query"), saved.encode(WORDS[8:12], "query"), atol=1e-5
    )
    start = load_encoder(settings.resolve(), str(tiny_encoder)).module.state_dict()
    after = saved.module.state_dict()
    assert all(torch.equal(after[name], start[name]) for name in start) and len(after) == len(start) + 4


def test_dev_is_scored_as_the_whole_model_scores_it(tiny_encoder: Path, toy: str, tmp_path: Path) -> None:
    """The tiny model has dropout, which a frozen base does not use: two passes are equal."""
    for name in ("candidates", "corpus"):
        config = configuration(tiny_encoder, toy, eval__during=name, model__similarity="euclid")
        method = opened(config, tmp_path / name)
        method.train()
        whole = method.encoder.encoder
        first, again = (method.evaluate() for _ in range(2))
        method.training_on.dev._encoder = whole
        assert first == again == pytest.approx(method.evaluate(), abs=1e-6)
    batches = [method.collate([(i, 0) for i in range(4)])["chunks"][0]["query"] for _ in range(2)]
    assert torch.equal(*(b["sentence_embedding"] for b in batches))
    base_LH = load_encoder(configuration(tiny_encoder, toy)).encode(WORDS[:4], "query")
    np.testing.assert_allclose(batches[0]["sentence_embedding"], base_LH, atol=1e-6)


@pytest.mark.parametrize("frozen", [True, False])
def test_the_loss_sees_the_whole_batch_however_few_queries_are_forwarded_at_once(
    tiny_encoder: Path, toy: str, tmp_path: Path, frozen: bool
) -> None:
    found = {}
    for micro in (0, 2, 3):
        config = configuration(tiny_encoder, toy, model__freeze_base=frozen, batch__micro=micro, eval__during="off")
        method = opened(config, tmp_path / str(micro))
        method.eval()
        batch = method.collate([(i, 0) for i in range(8)])
        method.prepare([batch])
        output, scored = method.step(batch), method.score(batch)
        output.loss.backward()
        found[micro] = (
            output.loss.item(),
            torch.cat([p.grad.flatten() for p in method.parameters() if p.grad is not None]),
        )
        assert scored.scores_BN.shape == (8, sum(batch["passage_counts"])) and batch["query_counts"] == [8]
        wanted = -(-8 // micro) if micro else 1  # the profile forwards 16 at once
        assert len(batch["chunks"]) == wanted
    for loss, gradient in found.values():
        assert loss == pytest.approx(found[0][0], rel=1e-5)
        most = 1e-6 + 3e-6 * float(found[0][1].abs().max())  # entries are sums of terms of the largest one's size
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-4, atol=most)


def test_an_interrupted_training_of_a_head_goes_on_to_the_same_bits(tiny_encoder: Path, toy: str) -> None:
    config = configuration(tiny_encoder, toy, model__dropout=0.2, train__max_steps=4, train__save="2")
    payload, kept = trained(config)
    last = checkpoints.newest(kept.checkpoints)
    shutil.rmtree(last.folder)
    shutil.rmtree(kept.model)
    assert checkpoints.newest(kept.checkpoints).step == 2 < last.step
    with start_run(command="train", argv=["irctl", "train"], config=config, resume=kept.folder) as again:
        resumed = pipeline.train(config, again, Silent(), resume=True)
    assert resumed["model_fingerprint"] == payload["model_fingerprint"]


def test_a_saved_head_is_trained_on_over_its_frozen_base(tiny_encoder: Path, toy: str) -> None:
    _, first = trained(configuration(tiny_encoder, toy))
    _, second = trained(configuration(first.model, toy, model__output_dim=""))
    before, after = (load_encoder(settings.resolve(), str(p.model)).module.state_dict() for p in (first, second))
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved == {f"{i}.linear.{part}" for i in (3, 4) for part in ("bias", "weight")}


def test_settings_of_a_base_in_training_are_refused(tiny_encoder: Path, toy: str) -> None:
    checkpointing = configuration(tiny_encoder, toy, train__gradient_checkpointing=True)
    with pytest.raises(ConfigError, match=r"train\.gradient_checkpointing .*the base makes its vectors once"):
        trained(checkpointing)
    with pytest.raises(ConfigError, match=r"model\.freeze_base .*nothing is left to train"):
        trained(configuration(tiny_encoder, toy, model__output_dim=""))
