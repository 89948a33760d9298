"""A whole training in this process: what it leaves, that it goes on to the same bytes, that chunks change nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import acerag_training as tiny
import pytest
import safetensors.torch
import torch

from irctl.errors import ConfigError, DataError
from irctl.methods.acerag import Method
from irctl.models.compressive import folder as folders
from irctl.models.compressive.encoder import CompressiveEncoder
from irctl.training.loop import session
from irctl.training.run_files import checkpoints, journal


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
def test_it_leaves_encoders_alone_and_goes_on_to_the_same_bytes(place: Path, tmp_path: Path, stage: str) -> None:
    config = tiny.configuration(place, **{"acerag.stage": stage})
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
    place: Path, tmp_path: Path
) -> None:
    run = trained(tmp_path / "run", tiny.configuration(place))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    measured = {(r["name"], r["step"]) for r in rows if r.get("split") == "held out"}
    names = {"loss.1x", "loss.2x", "loss.4x", "loss.8x", "loss.closed"}
    assert {n for n, _ in measured} == names and {s for _, s in measured} == {0, 2, 4}
    done = next(e for e in journal.events(run / "metrics.jsonl") if e["event"] == "done")
    assert done["model_step"] == 4 and done["dev_before"] is None
    assert checkpoints.whole(run / "checkpoints")[-1].manifest["best"]["step"] is None


def test_chunks_and_several_losses_a_step_give_the_weights_of_one(place: Path, tmp_path: Path) -> None:
    one = weights(trained(tmp_path / "one", tiny.configuration(place)) / "model")
    for name, more in {"chunks": {"batch.micro": 3}, "losses": {"batch.loss": 4}, "recomputed": {
        "train.gradient_checkpointing": "true"}}.items():  # fmt: skip
        other = weights(trained(tmp_path / name, tiny.configuration(place, **more)) / "model")
        for key, value in one.items():
            assert torch.allclose(value, other[key], atol=1e-5), (name, key)


def test_a_stage_begins_with_the_encoder_of_the_one_before(place: Path, tmp_path: Path) -> None:
    first = trained(tmp_path / "pt", tiny.configuration(place, **{"acerag.stage": "pt"}))
    init = str(folders.find(first)[0])
    config = tiny.configuration(place, **{"train.init": init, "train.lr": 0.0})
    second = trained(tmp_path / "ft", config)
    assert all(torch.equal(v, weights(first / "model")[k]) for k, v in weights(second / "model").items())
    stages = folders.read(second / "model" / "compressive_encoder").stages
    assert [(s["stage"], s["run"]) for s in stages] == [("pt", "pt"), ("ft", "ft")]
    other = tiny.make_models(tmp_path, "qwen3")
    with pytest.raises(DataError, match="was trained for"):
        trained(tmp_path / "other", tiny.configuration(place, **{"train.init": init, "acerag.lm": str(other)}))


def test_settings_that_change_nothing_else_change_the_training(place: Path, tmp_path: Path) -> None:
    """Every setting of the method does something: two values of it leave two encoders."""
    base = weights(trained(tmp_path / "base", tiny.configuration(place)) / "model")
    changed = {
        "acerag.ratios": "2,4", "acerag.selection": "mean", "acerag.chunk_tokens": 12, "acerag.rows_per_file": 9,
        "acerag.held_out": 0.5,
    }  # fmt: skip
    for key, value in changed.items():
        other = weights(trained(tmp_path / key, tiny.configuration(place, **{key: value})) / "model")
        assert any(not torch.equal(base[name], other[name]) for name in base), key


def test_settings_of_the_other_stage_and_lengths_that_leave_nothing_are_refused(place: Path, tmp_path: Path) -> None:
    for more, said in (
        ({"acerag.window": 16}, "is of stage pt; this is stage ft"),
        ({"acerag.stage": "pt", "acerag.lm_tokens": 64}, "is of stage ft; this is stage pt"),
        ({"acerag.stage": "pt", "acerag.selection": "terminal"}, "stage pt keeps rows by stride, random, mean"),
        ({"acerag.stage": "pt", "acerag.min_tokens": 8}, "has nothing to predict"),
        ({"acerag.ratios": "2,2"}, "each once"),
        ({"acerag.ratios": "a"}, "expected numbers such as 1,2,4"),
        ({"acerag.layers": 4}, "expected 1 to 3, the layers of"),
        ({"acerag.shuffle_rows": "true"}, "reproduces the released encoders"),
        ({"hardware.zero_stage": 3}, "the frozen language model is no part of it"),
    ):
        with pytest.raises(ConfigError, match=said):
            trained(tmp_path / said[:20], tiny.configuration(place, **more))
