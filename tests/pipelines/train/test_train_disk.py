"""Room on the run folder's disk is looked at before a training, as its dry run says."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from word_collection import word_collection
from workspace import Workspace

from irctl import errors, paths
from irctl.config import from_sets, resolve
from irctl.errors import RunFailed
from irctl.ledger import query
from irctl.ledger.recording import start_run
from irctl.pipelines.train import memory, parameters
from irctl.pipelines.train import train as pipeline
from irctl.training import batch_plan
from irctl.training.run_files import checkpoints
from irctl.types import Silent

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Bytes that every disk has left."""
    left = {"free": 0.0}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(0, 0, left["free"]))
    return left


def test_checkpoints_and_model_must_fit_and_those_that_are_there_count(
    free: dict[str, float], tiny_encoder: Path, tmp_path: Path
) -> None:
    config = resolve(from_sets([f"model.name={tiny_encoder}", "train.keep=2", "train.save_state=true"]))
    weights = parameters.count_parameters(tiny_encoder)
    texts = memory.of_model(tiny_encoder, config, 1).text_bytes
    whole = weights * 12 + memory.CHECKPOINT_BYTES  # weight and two moments
    needed = 3 * whole + weights * 4 + texts  # a checkpoint an epoch, and the model: weights, vocabulary
    free["free"] = needed + 1
    memory.check_disk(config, 1, tmp_path)
    free["free"] = needed - 1
    with pytest.raises(RunFailed, match=r"GiB of checkpoints and model to come, .* free on the disk"):
        memory.check_disk(config, 1, tmp_path / "not" / "yet")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "weights").write_bytes(b"1" * 12)
    memory.check_disk(config, 1, tmp_path, tmp_path / "checkpoints")
    kept = resolve(from_sets([f"model.name={tiny_encoder}", "train.keep=2", "train.epoch_models=true"]))
    free["free"] = needed + 3 * (whole + weights * 4 + texts) - 1  # and after each of three epochs, model and state
    with pytest.raises(RunFailed, match="free on the disk"):
        memory.check_disk(kept, 1, tmp_path)
    free["free"] += 1
    memory.check_disk(kept, 1, tmp_path)


@pytest.mark.parametrize("dry", ["", " --dry-run"])
def test_a_training_without_room_ends_before_its_data_is_prepared(
    dry: str, free: dict[str, float], place: Workspace
) -> None:
    done = place.run(f"train --loss infonce{dry}")
    assert done.code == errors.RUN_FAILED and "lower train.keep" in done.err and "mining" not in done.err
    assert str(paths.runs()) in done.err


def test_the_dry_run_says_what_is_needed_and_free(free: dict[str, float], place: Workspace) -> None:
    free["free"] = 3 << 30
    assert "of 3.00 GiB free" in place.ok("train --loss infonce --dry-run").out


def _bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize(
    "trained",
    [[], ["model.lora_r=4"], ["model.freeze_base=true", "loss.learn_temperature=true"]],
    ids=["all", "adapters", "temperature"],
)
def test_what_a_training_is_said_to_need_is_what_it_writes_or_little_more(
    trained: list[str],
    steps: int,
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_process: None,
) -> None:
    if "model.lora_r=4" in trained:
        pytest.importorskip("peft", reason="pip install 'irctl[lora]'")
    data = word_collection(tmp_path / "toy", train=range(8), dev=range(8, 12))
    sets = [f"model.name={tiny_encoder}", f"data.source={data}", "data.group_size=3", "batch.global=4", *trained]
    sets += [f"train.max_steps={steps}", "train.save=1", "train.keep=1", "eval.during=off"]
    config, peak, rotate = resolve(from_sets(sets)), [0], checkpoints.rotate

    def with_the_first_the_best(folder: Path, keep: int, best_step: int | None) -> None:
        peak.append(_bytes(folder))
        rotate(folder, keep, 1)

    monkeypatch.setattr(checkpoints, "rotate", with_the_first_the_best)
    with start_run(command="train", argv=["irctl", "train"], config=config) as run:
        pipeline.train(config, run, Silent())
    kept = query.find_run(run.id).paths
    most = max(*peak, _bytes(kept.checkpoints) + _bytes(kept.model))
    taken = memory.of_model(tiny_encoder, config, 1)
    assert taken.checkpoints == min(steps, 3) and most <= taken.disk_gib * memory.GIB <= 1.2 * most


@pytest.mark.parametrize(
    ("sets", "most"),
    [
        (["train.epochs=2.5"], 3),
        (["train.max_steps=2"], 2),
        (["train.max_steps=10", "train.save=4"], 3),
        (["train.save=0.3"], 4),
        (["train.save=50"], None),
        (["train.save_minutes=5"], None),
        (["train.save=0.5", "hardneg.every=1"], None),
        (["train.max_steps=7", "train.save=0.5", "train.save_minutes=5"], 7),
    ],
)
def test_no_more_checkpoints_are_counted_than_are_written(sets: list[str], most: Any) -> None:
    assert batch_plan.most_checkpoints(resolve(from_sets(sets))) == most


def test_adapters_need_memory_for_themselves_and_the_weights_of_the_rest(tiny_encoder: Path) -> None:
    whole, lora = (
        memory.of_model(tiny_encoder, resolve(from_sets([f"model.lora_r={r}"])), 1).device_gib * memory.GIB
        for r in (0, 4)
    )
    weights = parameters.count_parameters(tiny_encoder)
    assert whole == weights * 16 and weights * 4 < lora < weights * 4.5
