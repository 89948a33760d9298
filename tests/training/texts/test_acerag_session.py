"""A whole training in this process: what it leaves, that it goes on to the same bytes, that chunks change nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import acerag_training as tiny
import pytest
import safetensors.torch
import torch

from irctl.config import Config
from irctl.errors import ConfigError, DataError
from irctl.methods.acerag import Method
from irctl.models.compressive import folder as folders
from irctl.models.compressive.encoder import CompressiveEncoder
from irctl.models.fingerprints import fingerprint_state
from irctl.pipelines.train.data_kinds import texts
from irctl.training import batch_plan
from irctl.training.loop import session
from irctl.training.loop.loss_batches import Loader, LossBatches
from irctl.training.method import Context
from irctl.training.run_files import checkpoints, journal
from irctl.training.texts.compressive_method import CompressiveMethod
from irctl.training.texts.samples import TextSample
from irctl.types import Silent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acerag")
    tiny.make_models(folder)
    tiny.make_files(folder)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "compressive_encoder" / "model.safetensors")


def trained(folder: Path, config) -> Path:
    paths = tiny.open_run(folder, config)
    session.run(config, paths, Method.build)
    return paths.folder


@pytest.mark.parametrize("stage", ["ft", "pt"])
def test_it_leaves_encoders_alone_and_goes_on_to_the_same_bytes(made: Path, tmp_path: Path, stage: str) -> None:
    config = tiny.configuration(made, **{"acerag.stage": stage})
    run = trained(tmp_path / "whole", config)
    model = weights(run / "model")
    assert not any("lm_head" in name for name in model)
    encoder = CompressiveEncoder.load(run / "model" / "compressive_encoder")
    saved = sum(f.stat().st_size for f in (run / "checkpoints" / "step-4").glob("weights*"))
    assert saved <= 1.05 * 4 * sum(p.numel() for p in encoder.parameters())
    about = folders.read(run / "model" / "compressive_encoder")
    assert about.ratios == (1, 2, 4, 8) and [s["stage"] for s in about.stages] == [stage]
    assert folders.find(run)[0] == run / "checkpoints" / "checkpoint-4" / "compressive_encoder"
    again = weights(run / "checkpoints" / "checkpoint-4")
    assert all(torch.equal(model[name], again[name]) for name in model)

    other = tiny.open_run(tmp_path / "resumed", config)
    shutil.copytree(run / "checkpoints" / "step-2", other.checkpoints / "step-2")
    session.run(config, other, Method.build)
    assert (other.folder / "model/compressive_encoder/model.safetensors").read_bytes() == (
        run / "model/compressive_encoder/model.safetensors"
    ).read_bytes()


def test_the_loss_held_out_is_measured_at_each_ratio_and_without_a_context_and_chooses_nothing(
    made: Path, tmp_path: Path
) -> None:
    run = trained(tmp_path / "run", tiny.configuration(made))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    measured = {(r["name"], r["step"]) for r in rows if r.get("split") == "held out"}
    names = {"loss.1x", "loss.2x", "loss.4x", "loss.8x", "loss.closed"}
    assert {n for n, _ in measured} == names and {s for _, s in measured} == {0, 2, 4}
    done = next(e for e in journal.events(run / "metrics.jsonl") if e["event"] == "done")
    assert done["model_step"] == 4 and done["dev_before"] is None
    assert checkpoints.whole(run / "checkpoints")[-1].manifest["best"]["step"] is None


@pytest.mark.slow
def test_chunks_and_several_losses_a_step_give_the_weights_of_one(made: Path, tmp_path: Path) -> None:
    # ten times this rate and one of 51,584 weights differs by 1.9e-5: AdamW steps by noise where a gradient is about 0
    rate = {"train.lr": 1e-3}
    one = weights(trained(tmp_path / "one", tiny.configuration(made, **rate)) / "model")
    for name, more in {"chunks": {"batch.micro": 3}, "losses": {"batch.loss": 4}, "recomputed": {
        "train.gradient_checkpointing": "true"}}.items():  # fmt: skip
        other = weights(trained(tmp_path / name, tiny.configuration(made, **rate, **more)) / "model")
        for key, value in one.items():
            assert torch.allclose(value, other[key], atol=1e-5), (name, key)


def test_the_language_model_is_the_same_to_the_bit_after_a_training(made: Path, tmp_path: Path) -> None:
    opened: list[CompressiveMethod] = []
    hashes: list[str] = []

    def build(config: Config, context: Context) -> CompressiveMethod:
        opened.append(Method.build(config, context))
        hashes.append(fingerprint_state(opened[0].lm.state_dict()))
        return opened[0]

    config = tiny.configuration(made)
    session.run(config, tiny.open_run(tmp_path / "run", config), build)
    assert fingerprint_state(opened[0].lm.state_dict()) == hashes[0]
    assert all(p.grad is None for p in opened[0].lm.parameters())
    assert not any(p is q for p in opened[0].parameters() for q in opened[0].lm.parameters())


def test_no_and_four_loader_workers_read_the_same_rows_in_two_epochs_of_fresh_draws(made: Path, tmp_path: Path) -> None:
    config = tiny.configuration(made, **{"acerag.selection": "random"})
    paths = tiny.open_run(tmp_path / "run", config)
    method = Method.build(config, Context(batch_plan.plan(config), Silent(), paths, lambda *_, **__: None))
    read: dict[int, list[list[TextSample]]] = {}
    for workers in (0, 4):
        batches = LossBatches(method.queries, 8, config.run.seed)
        loader = Loader(batches, method.collate, workers=workers, pin_memory=False)
        read[workers] = []
        for epoch in (0, 1):
            batches.set_epoch(epoch)
            read[workers].append([s for batch in loader for chunk in batch["samples"] for s in chunk])
    for one, other in zip(read[0], read[4], strict=True):
        assert [s.sequences for s in one] == [s.sequences for s in other]
        assert all((a == b).all() for s, t in zip(one, other, strict=True) for a, b in zip(s.kept, t.kept, strict=True))
    first, second = ({s.where: s.rows for s in epoch} for epoch in read[0])
    assert first.keys() == second.keys() and first != second


def test_the_loss_held_out_falls_in_25_steps_of_pre_training(made: Path, tmp_path: Path) -> None:
    tiny.make_files(tmp_path / "more", contexts=30)
    files = tmp_path / "more/recall-text.json"
    more = {"acerag.stage": "pt", "acerag.data_files": str(files), "train.max_steps": 25, "train.save": 25}
    run = trained(tmp_path / "run", tiny.configuration(made, **more))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    at = {(r["step"], r["name"]): r["value"] for r in rows if r.get("split") == "held out"}
    for ratio in (1, 2, 4, 8):
        assert at[25, f"loss.{ratio}x"] < at[0, f"loss.{ratio}x"] - 0.05, at


def test_a_stage_begins_with_the_encoder_of_the_one_before(made: Path, tmp_path: Path) -> None:
    first = trained(tmp_path / "pt", tiny.configuration(made, **{"acerag.stage": "pt"}))
    init = str(folders.find(first)[0])
    config = tiny.configuration(made, **{"train.init": init, "train.lr": 0.0})
    second = trained(tmp_path / "ft", config)
    assert all(torch.equal(v, weights(first / "model")[k]) for k, v in weights(second / "model").items())
    stages = folders.read(second / "model" / "compressive_encoder").stages
    assert [(s["stage"], s["run"]) for s in stages] == [("pt", "pt"), ("ft", "ft")]
    for more, said in (
        ({"acerag.layers": 2}, "has 1 layers, and acerag.layers is 2"),
        ({"acerag.stage": "pt", "train.init": str(folders.find(second)[0])}, "is fine-tuned, and stage pt comes"),
    ):
        with pytest.raises(ConfigError, match=said):
            texts.settle(tiny.configuration(made, **{"train.init": init, **more}))  # a dry run does so too
    other = tiny.make_models(tmp_path, "qwen3")
    config = tiny.configuration(made, **{"train.init": init, "acerag.lm": str(other)})
    for refused in (lambda: texts.describe(config), lambda: trained(tmp_path / "other", config)):
        with pytest.raises(DataError, match="was trained for"):
            refused()


def test_a_newest_checkpoint_that_is_cut_short_is_passed_over_and_said(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = trained(tmp_path / "run", tiny.configuration(made))
    newest = run / "checkpoints" / "checkpoint-9" / "compressive_encoder"
    newest.mkdir(parents=True)
    (newest / "config.json").write_text("{")
    assert texts.find_init(str(run)) == run / "checkpoints" / "checkpoint-4" / "compressive_encoder"
    assert "passed over" in caplog.text and "checkpoint-9" in caplog.text


def test_by_context_a_step_reads_contexts_each_with_all_its_questions(made: Path, tmp_path: Path) -> None:
    config = tiny.configuration(made, **{"acerag.by_context": "true", "acerag.held_out": 0})
    paths = tiny.open_run(tmp_path / "run", config)
    method = Method.build(config, Context(batch_plan.plan(config), Silent(), paths, lambda *_, **__: None))
    assert method.queries == 5  # contexts of eight questions each
    made_of = [method.training_on.make(unit, 0) for unit in range(5)]
    assert all(len(s.sequences) == 8 and len({q.parts.rows for q in s.sequences}) == 1 for s in made_of)
    assert sorted(q.name for s in made_of for q in s.sequences) == sorted(f"recall-train:{n}" for n in range(1, 41))
    assert len({tuple(c.ids for c in s.chunks) for s in made_of}) == 5
    assert {method.training_on.make(0, epoch).rows for epoch in range(8)} > {made_of[0].rows}  # drawn for each epoch
    described = texts.describe(config)
    assert described.sizes is not None and described.sizes.queries == 5


@pytest.mark.slow
def test_settings_that_change_nothing_else_change_the_training(made: Path, tmp_path: Path) -> None:
    """Every setting of the method does something: two values of it leave two encoders."""
    base = weights(trained(tmp_path / "base", tiny.configuration(made)) / "model")
    changed = {
        "acerag.ratios": "2,4", "acerag.selection": "mean", "acerag.chunk_tokens": 12, "acerag.rows_per_file": 9,
        "acerag.held_out": 0.5, "acerag.targets": "teacher", "acerag.by_context": "true",
    }  # fmt: skip
    for key, value in changed.items():
        other = weights(trained(tmp_path / key, tiny.configuration(made, **{key: value})) / "model")
        assert any(not torch.equal(base[name], other[name]) for name in base), key


def test_settings_of_the_other_stage_and_lengths_that_leave_nothing_are_refused(made: Path, tmp_path: Path) -> None:
    for more, said in (
        ({"acerag.window": 16}, "is of stage pt; this is stage ft"),
        ({"acerag.stage": "pt", "acerag.lm_tokens": 64}, "is of stage ft; this is stage pt"),
        ({"acerag.stage": "pt", "acerag.by_context": "true"}, "acerag.by_context .*is of stage ft"),
        ({"acerag.stage": "pt", "acerag.selection": "terminal"}, "stage pt keeps rows by stride, random, mean"),
        ({"acerag.stage": "pt", "acerag.min_tokens": 8}, "has nothing to predict"),
        ({"acerag.ratios": "2,2"}, "each once"),
        ({"acerag.ratios": "a"}, "expected numbers such as 1,2,4"),
        ({"acerag.layers": 4}, "expected 1 to 3, the layers of"),
        ({"acerag.shuffle_rows": "true"}, "reproduces the released encoders"),
        ({"hardware.zero_stage": 3}, "the frozen language model is no part of it"),
    ):
        with pytest.raises(ConfigError, match=said):
            trained(tmp_path / said[:20], tiny.configuration(made, **more))
