"""`irctl doctor --preflight`: every proof passes on sound settings, and each fault is found by the check for it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from toy_collections import beir_folder

from irctl import config as settings
from irctl import paths, profiles
from irctl.errors import ConfigError
from irctl.origins import derived
from irctl.pipelines.doctor import preflight
from irctl.pipelines.doctor.finding import Finding
from irctl.training.run_files import journal

pytestmark = pytest.mark.usefixtures("in_process")

CHECKS = ["data", "batch and schedule", "parameters", "save and load", "two steps", "resume", "evaluation"]


def configuration(model: Path, **more: Any) -> settings.Config:
    given = {
        "model.name": str(model),
        "loss.name": "ws2:1,infonce:0.5",
        "data.max_queries": 16,
        "data.group_size": 4,
        "encoder.passage_max_len": 24,
        "batch.global": 8,
        **{k.replace("__", "."): v for k, v in more.items()},
    }
    return settings.resolve(profiles.layer("cpu", "sycl"), {k: (v, derived("test")) for k, v in given.items()})


def tried(config: settings.Config, limit_s: float = 300.0) -> list[Finding]:
    return list(preflight.run(config, limit_s=limit_s))


def test_sound_settings_pass_every_check_and_leave_no_run(tiny_encoder: Path) -> None:
    before = os.environ["IRCTL_RUNS"]
    found = tried(configuration(tiny_encoder))
    assert [(f.check, f.level) for f in found] == [(c, "ok") for c in CHECKS], found[-1]
    assert found[0].found.startswith("16 training queries; cut: ")
    assert found[5].found == "weights differ by 0"
    assert os.environ["IRCTL_RUNS"] == before and not paths.runs().exists()


def test_a_wrong_row_is_named_with_its_line(tiny_encoder: Path, tmp_path: Path) -> None:
    judged = {"q1": {"d1": 2, "d2": 0, "d9": 1}}
    folder = beir_folder(tmp_path / "own", {"d1": "wing", "d2": "jet"}, {"q1": "wing"}, train=judged)
    [found] = tried(configuration(tiny_encoder, data__source=str(folder), data__negatives="none"))
    assert (found.check, found.level) == ("data", "error") and "train.tsv:4" in found.found


def test_a_check_that_takes_too_long_has_failed(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_data", lambda trial: time.sleep(30) or "")
    [found] = tried(configuration(tiny_encoder), limit_s=0.1)
    assert (found.level, found.found) == ("error", "data: not done after 0.1 s")
    assert "--tiny" in found.fix


def test_a_term_that_is_always_zero_fails_the_two_steps(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = journal.steps

    def without_infonce(path: Path) -> dict[int, dict[str, float]]:
        return {s: {**row, "loss.infonce": 0.0} for s, row in real(path).items()}

    monkeypatch.setattr(preflight.journal, "steps", without_infonce)
    found = tried(configuration(tiny_encoder))[-1]
    assert (found.check, found.level) == ("two steps", "error") and "infonce has weight 0.5" in found.found


def test_a_resume_that_differs_is_found(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, opened = safetensors.numpy.load_file, []

    def load_file(path: Path) -> dict[str, Any]:
        opened.append(path)
        return {k: v + np.float32(len(opened)) for k, v in real(path).items()}

    monkeypatch.setattr(safetensors.numpy, "load_file", load_file)
    found = tried(configuration(tiny_encoder))[-1]
    assert (found.check, found.level) == ("resume", "error") and "weights after a resume differ by 1" in found.found


def test_settings_that_train_nothing_are_refused(tiny_encoder: Path) -> None:
    compression = settings.resolve({"compress.method": ("pq", derived("test"))})
    with pytest.raises(ConfigError, match="these settings train nothing"):
        tried(compression)


def test_a_frozen_encoder_has_no_parameter_to_train(tiny_encoder: Path) -> None:
    found = tried(configuration(tiny_encoder, model__freeze_base=True))[-1]
    assert (found.check, found.level) == ("parameters", "error") and "model.lora_r" in found.fix
