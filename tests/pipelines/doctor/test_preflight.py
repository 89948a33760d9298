"""`irctl doctor --preflight`: every proof passes on sound settings, and each fault is found by the check for it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from toy_collections import beir_folder
from word_collection import word_collection
from workspace import Workspace

from irctl import config as settings
from irctl import paths, profiles
from irctl.errors import ConfigError
from irctl.losses import infonce
from irctl.origins import derived
from irctl.pipelines.doctor import preflight, trial_checks
from irctl.pipelines.doctor.finding import Finding
from irctl.pipelines.doctor.trial_checks import Trial
from irctl.regularizers import gor
from irctl.training.processes import launch
from irctl.training.run_files import journal

pytestmark = pytest.mark.usefixtures("in_process")

CHECKS = [
    "disk", "data", "batch and schedule", "two steps", "parameters", "terms", "save and load", "resume", "evaluation"
]  # fmt: skip


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


def tried(config: settings.Config, limit_s: float = 300.0) -> dict[str, Finding]:
    return {f.check: f for f in preflight.run([("", config)], limit_s=limit_s)}


def replaced(monkeypatch: pytest.MonkeyPatch, name: str, work: Callable[[Trial], str]) -> None:
    """Another work for one of the checks."""
    checks = tuple(replace(c, work=work) if c.name == name else c for c in preflight.CHECKS)
    monkeypatch.setattr(preflight, "CHECKS", checks)
    if name == "data":
        monkeypatch.setattr(preflight, "DATA", replace(preflight.DATA, work=work))


def test_sound_settings_pass_every_check_and_leave_no_run(tiny_encoder: Path) -> None:
    before = dict(os.environ)
    found = tried(configuration(tiny_encoder))
    assert {c: f.level for c, f in found.items()} == dict.fromkeys(CHECKS, "ok"), found
    assert found["data"].found.startswith("16 training queries; tokens of a passage: median ")
    assert "; cut: " in found["data"].found
    assert found["resume"].found == "weights differ by 0"
    assert found["terms"].found.startswith("ws2 ") and "infonce" in found["terms"].found
    assert dict(os.environ) == before and not paths.runs().exists()


@pytest.mark.slow
def test_a_head_and_its_regularizer_pass_with_a_frozen_base_too(tiny_encoder: Path) -> None:
    head = {"model__output_dim": "16", "train__regularizer": "gor:0.1", "loss__name": "infonce"}
    found = tried(configuration(tiny_encoder, **head, model__freeze_base=True, train__projection_lr=5e-4))
    assert {c: f.level for c, f in found.items()} == dict.fromkeys(CHECKS, "ok"), found
    assert "head 0.0005" in found["batch and schedule"].found
    assert "gor" in found["terms"].found and "(head 3,152)" in found["parameters"].found


def test_a_wrong_row_is_named_with_its_line_and_what_needs_the_data_is_not_tried(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    judged = {"q1": {"d1": 2, "d2": 0, "d9": 1}}
    folder = beir_folder(tmp_path / "own", {"d1": "wing", "d2": "jet"}, {"q1": "wing"}, train=judged)
    found = tried(configuration(tiny_encoder, data__source=str(folder), data__negatives="none"))
    assert found["data"].level == "error" and "train.tsv:4" in found["data"].found
    assert list(found) == CHECKS, "every check is told of"
    assert found["disk"].level == "ok"
    for name in CHECKS[2:]:
        assert (found[name].level, found[name].found[:10]) == ("warning", "not tried:"), name
    assert found["two steps"].found == "not tried: needs data"


def test_a_check_that_takes_too_long_has_failed(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced(monkeypatch, "data", lambda trial: time.sleep(600) or "")
    found = tried(configuration(tiny_encoder), limit_s=0.1)
    late = found["data"]
    assert (late.level, late.found) == ("error", "data: not done after 0.1 s") and "--tiny" in late.fix
    assert list(found) == CHECKS


def test_a_hang_that_no_signal_reaches_ends_the_process_with_exit_4(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(preflight, "GRACE_S", 0.0)

    def in_native_code(trial: Trial) -> str:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        time.sleep(0.5)
        return ""

    replaced(monkeypatch, "data", in_native_code)
    tried(configuration(tiny_encoder, model__freeze_base=True), limit_s=0.1)
    assert codes and set(codes) == {4} and "data: not done after 0.1 s" in capsys.readouterr().err


FAULTS: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "hang": ("two steps: not done after 1 s", lambda patch: _hang(patch)),
    "nan": ("step 1: the loss is nan", lambda patch: patch.setattr(infonce, "loss", _changed(infonce.loss, _to_nan))),
    "inert": ("gor has weight 0.1", lambda patch: patch.setattr(gor, "regularize", _changed(gor.regularize, _cut_off))),
}


def _hang(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(launch, "run", lambda *args, **more: time.sleep(600))
    for name in ("data", "batch and schedule"):  # a second may be too short for them on a busy machine
        replaced(patch, name, lambda trial: "")


def _changed(real: Callable[..., Any], then: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda *args: then(real(*args))


def _to_nan(value: Any) -> Any:
    return value * float("nan")


def _cut_off(value: Any) -> Any:
    """Its value is right and goes into the loss; what it should move does not move."""
    return value.detach()


@pytest.mark.parametrize("fault", list(FAULTS))
def test_an_injected_fault_is_found_and_is_exit_4(
    place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    data = word_collection(tmp_path / "words", train=range(12))
    told, inject = FAULTS[fault]
    inject(monkeypatch)
    sets = f"data.source={data} data.negatives=none batch.global=4 loss.name=infonce train.regularizer=gor:0.1"
    line = " ".join(f"--set {one}" for one in sets.split())
    done = place.run(f"doctor --preflight {line} --json {'--limit 1' if fault == 'hang' else ''}")
    failed = [f["found"] for f in done.json["findings"] if f["level"] == "error"]
    assert done.code == 4 and any(told in found for found in failed), failed
    assert not done.json["fit"]


@pytest.mark.parametrize("part", ["infonce", "gor"])
def test_a_term_without_gradient_is_found(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    module, name = (infonce, "loss") if part == "infonce" else (gor, "regularize")
    real = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args: real(*args).detach())
    found = tried(configuration(tiny_encoder, train__regularizer="gor:0.5"))
    assert found["two steps"].level == "ok"
    assert found["terms"].level == "error"
    assert f"{part} has weight 0.5" in found["terms"].found and "gradient 0: it teaches nothing" in found["terms"].found
    assert found["evaluation"].level == "ok", "the other checks are tried"


def test_a_term_that_is_always_zero_fails_the_two_steps(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = journal.steps

    def without_infonce(path: Path) -> dict[int, dict[str, float]]:
        return {s: {**row, "loss.infonce": 0.0} for s, row in real(path).items()}

    monkeypatch.setattr(trial_checks.journal, "steps", without_infonce)
    found = tried(configuration(tiny_encoder))["two steps"]
    assert found.level == "error" and "infonce has weight 0.5" in found.found


def test_a_resume_that_differs_is_found(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, opened = safetensors.numpy.load_file, []

    def load_file(path: Path) -> dict[str, Any]:
        opened.append(path)
        return {k: v + np.float32(len(opened)) for k, v in real(path).items()}

    monkeypatch.setattr(safetensors.numpy, "load_file", load_file)
    found = tried(configuration(tiny_encoder))["resume"]
    assert found.level == "error" and "weights after a resume differ by 1" in found.found


@pytest.mark.slow
def test_a_fault_of_irctl_fails_its_check_alone(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced(monkeypatch, "parameters", lambda trial: 1 / 0)
    found = tried(configuration(tiny_encoder))
    assert found["parameters"].found == "internal error: ZeroDivisionError: division by zero"
    assert found["terms"].found == "not tried: needs parameters" and found["resume"].level == "ok"


def test_settings_that_train_nothing_are_refused(tiny_encoder: Path) -> None:
    compression = settings.resolve({"compress.method": ("pq", derived("test"))})
    with pytest.raises(ConfigError, match="these settings train nothing"):
        tried(compression)


def test_a_frozen_encoder_has_no_parameter_to_train(tiny_encoder: Path) -> None:
    found = tried(configuration(tiny_encoder, model__freeze_base=True))["two steps"]
    assert found.level == "error" and "model.lora_r" in found.fix


@pytest.mark.slow
def test_arms_share_the_check_of_their_data_and_are_told_by_name(tiny_encoder: Path) -> None:
    one, other = configuration(tiny_encoder), configuration(tiny_encoder, loss__name="kl")
    apart = configuration(tiny_encoder, data__max_queries=8)
    found = [f.check for f in preflight.run([("a", one), ("b", other), ("c", apart)], limit_s=300)]
    assert [name for name in found if name.endswith("data")] == ["a: data", "c: data"]
    assert {f"{arm}: {c}" for arm in "abc" for c in CHECKS} - set(found) == {"b: data"}


RECIPE = """
[meta]
title = "three arms"
source = "a test"
command = "irctl recipes run own"
[data]
source = "{data}"
negatives = "none"
[batch]
global = 4
[train]
epochs = 1
warmup_steps = 1000
[encoder]
passage_max_len = 16
[eval]
during = "off"
[[arms]]
name = "plain"
loss.name = "infonce"
[[arms]]
name = "regular"
loss.name = "infonce"
train.regularizer = "gor:0.1"
[[arms]]
name = "stepped"
steps = ["train --loss kl --set data.group_size=2", "eval --model {{run}} --split train"]
[[arms]]
name = "vectors"
steps = ["encode"]
[[arms]]
name = "later"
steps = ["train --init {{plain}}"]
"""


@pytest.mark.slow
def test_the_command_tries_each_trained_arm_of_a_group_and_lists_the_others(place: Workspace, tmp_path: Path) -> None:
    data = word_collection(tmp_path / "words", train=range(12))
    (place.folder / "own.toml").write_text(RECIPE.format(data=data))
    done = place.run("doctor --preflight --recipe own.toml --json")
    found = {f["check"]: f for f in done.json["findings"]}
    assert done.code == 0, [f for f in found.values() if f["level"] == "error"]
    assert found["arms"]["found"] == (
        "trained: plain, regular, stepped; only measured: vectors; not tried: later, which reads what plain makes"
    )
    assert "gor" in found["regular: terms"]["found"] and "kl" in found["stepped: terms"]["found"]
    assert "a tenth of them" in found["plain: batch and schedule"]["found"]
    assert "python" in found and "device" in found, "the machine too"
