"""Models kept after each epoch, and new runs that begin from them: exact, whole, and without touching the old run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import tiny_training as tiny
from test_training_runs import config, losses, run, weights

from irctl.errors import ConfigError
from irctl.paths import RunPaths
from irctl.training.parallel import deepspeed_settings
from irctl.training.run_files import checkpoints, epoch_folders, journal

MODEL = "model.safetensors"
KEPT = {"train.epoch_models": True}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, dict]:
    """Three epochs of two steps, with a model kept after each."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder, config(**KEPT))


def folders(run_folder: Path) -> list[str]:
    return sorted(p.name for p in RunPaths(run_folder).checkpoints.iterdir() if not p.name.startswith("step-"))


ALL = ["best_model", "checkpoint_epoch_1", "checkpoint_epoch_2", "checkpoint_epoch_3", "final_model"]


def test_each_epoch_leaves_its_model_and_the_state_outlives_rotation(whole) -> None:
    assert folders(whole[0]) == ALL
    there = epoch_folders.states(RunPaths(whole[0]).checkpoints)
    assert [there[f"checkpoint_epoch_{n}"].step for n in (1, 2, 3)] == [2, 4, 6]
    for checkpoint in there.values():
        assert checkpoint.manifest["has_state"]
        assert {"optimizer.pt", "scheduler.pt", "trainer_state.json"} <= {p.name for p in checkpoint.folder.iterdir()}


def test_keeping_models_changes_nothing_that_is_trained(whole, tmp_path) -> None:
    run(tmp_path, config())
    assert losses(tmp_path) == losses(whole[0]) and weights(tmp_path) == weights(whole[0])


def test_the_last_and_the_best_model_have_names_of_their_own(whole) -> None:
    at = RunPaths(whole[0]).checkpoints
    assert (at / "best_model" / MODEL).read_bytes() == weights(whole[0])
    assert (at / "final_model" / MODEL).read_bytes() == (at / "checkpoint_epoch_3" / MODEL).read_bytes()


def test_the_last_step_within_an_epoch_is_the_final_model(tmp_path) -> None:
    scores = iter([0.1, 0.9, 0.2, 0.3])

    def build(settings, context):
        method = tiny.build(settings, context)
        method.evaluate = lambda: {"nDCG@10": next(scores)}
        return method

    run(tmp_path, config(**KEPT, **{"train.max_steps": 5}), build)
    at = RunPaths(tmp_path).checkpoints
    assert folders(tmp_path) == [n for n in ALL if n != "checkpoint_epoch_3"]
    final, best = (at / "final_model" / MODEL).read_bytes(), (at / "best_model" / MODEL).read_bytes()
    assert best == (at / "checkpoint_epoch_1" / MODEL).read_bytes() and final != best
    assert final != (at / "checkpoint_epoch_2" / MODEL).read_bytes()


@pytest.mark.parametrize("name", ["checkpoint_epoch_1", "checkpoint_epoch_2", "step-4"])
def test_a_new_run_from_a_checkpoint_trains_to_the_same_bytes(whole, tmp_path, name: str) -> None:
    """Dropout is on; the schedule, the optimizer and the best score go on as they were."""
    old, new = RunPaths(whole[0]), RunPaths(tmp_path)
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in old.folder.rglob("*") if p.is_file()}
    epoch_folders.adopt(epoch_folders.states(old.checkpoints)[name], new.checkpoints)
    assert run(tmp_path, config(**KEPT)) == whole[1]
    assert weights(tmp_path) == weights(whole[0])
    of_old = losses(whole[0])
    assert losses(tmp_path) == {s: v for s, v in of_old.items() if s > (2 if name.endswith("1") else 4)}
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in old.folder.rglob("*") if p.is_file()} == before


def test_the_best_step_travels_with_an_epoch_whose_own_score_is_lower(tmp_path) -> None:
    def build(settings, context):
        method = tiny.build(settings, context)
        method.evaluate = lambda: {"nDCG@10": {0: 0.1, 2: 0.9}.get(max(losses(paths.folder), default=0), 0.2)}
        return method

    paths = RunPaths(tmp_path / "old")
    done = run(paths.folder, config(**KEPT, **{"train.keep": 1}), build)
    assert done["model_step"] == 2
    state = epoch_folders.states(paths.checkpoints)["checkpoint_epoch_2"]
    assert sorted(p.name for p in (state.folder / "best").iterdir()) == ["irctl.json", "weights.safetensors"]
    old, paths = paths, RunPaths(tmp_path / "new")
    epoch_folders.adopt(state, paths.checkpoints)
    assert run(paths.folder, config(**KEPT), build)["model_step"] == 2
    assert weights(paths.folder) == weights(old.folder)


class Death(BaseException):
    """As kill -9: nothing after it runs."""


@pytest.mark.parametrize("place", ["save", "add_state", "publish", "rename"])
def test_a_run_killed_while_it_writes_an_epochs_model_leaves_whole_folders_and_writes_it_later(
    whole, tmp_path, monkeypatch, place: str
) -> None:
    at = RunPaths(tmp_path).checkpoints

    def dies(*args, **more):
        raise Death

    if place == "save":
        monkeypatch.setattr(tiny.TinyEncoder, "save", dies)
    elif place == "rename":
        monkeypatch.setattr(epoch_folders.checkpoints, "sync_files", lambda f: None)
        real = Path.rename
        monkeypatch.setattr(Path, "rename", lambda p, t: dies() if p.name.startswith(".tmp-check") else real(p, t))
    else:
        monkeypatch.setattr(epoch_folders, place, dies)
    with pytest.raises(Death):
        run(tmp_path, config(**KEPT))
    monkeypatch.undo()
    assert [n for n in folders(tmp_path) if not n.startswith(".")] == []  # its step is whole, its model is not there
    assert checkpoints.newest(at).step == 2
    assert run(tmp_path, config(**KEPT)) == whole[1]
    assert folders(tmp_path) == ALL and weights(tmp_path) == weights(whole[0])
    for name in ALL:
        mine, theirs = (RunPaths(f).checkpoints / name / MODEL for f in (tmp_path, whole[0]))
        assert mine.read_bytes() == theirs.read_bytes(), name


def test_a_method_that_writes_more_than_a_model_keeps_none_after_epochs(tmp_path) -> None:
    def build(settings, context):
        method = tiny.build(settings, context)
        method.saves_a_model_alone = False
        return method

    with pytest.raises(ConfigError, match=r"train.epoch_models .*writes more than a model"):
        run(tmp_path, config(**KEPT), build)


def test_weights_that_deepspeed_slices_are_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"hardware.zero_stage=2 DeepSpeed holds the weights"):
        deepspeed_settings.check(config(**KEPT, **{"hardware.zero_stage": 2}))


def test_without_links_files_are_copied(whole, tmp_path, monkeypatch) -> None:
    def no_links(*args):
        raise OSError("none here")

    monkeypatch.setattr(os, "link", no_links)
    epoch_folders.adopt(epoch_folders.states(RunPaths(whole[0]).checkpoints)["checkpoint_epoch_1"], tmp_path)
    assert checkpoints.newest(tmp_path).step == 2


def test_a_best_step_that_is_gone_is_said_not_passed_over(whole, tmp_path) -> None:
    paths = RunPaths(tmp_path)
    state = epoch_folders.states(RunPaths(whole[0]).checkpoints)["checkpoint_epoch_2"]
    epoch_folders.adopt(state, paths.checkpoints)

    def build(settings, context):
        method = tiny.build(settings, context)
        method.evaluate = lambda: {"nDCG@10": 0.0}
        return method

    assert state.manifest["best"]["step"] == 2
    shutil.rmtree(paths.checkpoints / "step-2")
    run(tmp_path, config(**KEPT), build)
    said = [row["message"] for row in journal.events(paths.metrics) if row["event"] == "warn"]
    assert any("the weights of step 2, the best on dev, are not kept" in line for line in said)
