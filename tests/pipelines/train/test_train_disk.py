"""Room on the run folder's disk is looked at before a training, as its dry run says."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from workspace import Workspace

from irctl import errors, paths
from irctl.config import from_sets, resolve
from irctl.errors import RunFailed
from irctl.pipelines.train import memory

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
    weights = memory.count_parameters(tiny_encoder)
    needed = weights * (3 * 12 + 4)  # two newest and the best: weight and two moments; the model: weights
    free["free"] = needed
    memory.check_disk(config, 1, tmp_path)
    free["free"] = needed - 1
    with pytest.raises(RunFailed, match=r"GiB of checkpoints and model to come, .* free on the disk"):
        memory.check_disk(config, 1, tmp_path / "not" / "yet")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "weights").write_bytes(b"1" * 12)
    memory.check_disk(config, 1, tmp_path, tmp_path / "checkpoints")


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
