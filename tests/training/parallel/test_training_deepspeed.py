"""DeepSpeed without a GPU: its settings, its silent compile kept off, and what is refused when it has changed."""

from __future__ import annotations

import json
import os
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import tiny_training as tiny

from irctl.errors import EnvironmentUnfit
from irctl.training import precision
from irctl.training.parallel import deepspeed_settings


@pytest.fixture(scope="module")
def ops() -> ModuleType:
    """Imported by the worker that runs these tests alone: it takes seconds."""
    return pytest.importorskip("deepspeed.ops")


@pytest.fixture(autouse=True)
def environment_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", "before")


@pytest.mark.parametrize(("stage", "half"), [(1, "fp16"), (2, "bf16"), (3, "fp32")])
def test_settings_hold_stage_and_precision_and_leave_optimizer_and_schedule_to_irctl(stage: int, half: str) -> None:
    found = deepspeed_settings.settings(
        tiny.configuration(**{"hardware.zero_stage": stage, "hardware.precision": half}).hardware
    )
    assert found["zero_optimization"]["stage"] == stage
    assert (found["fp16"]["enabled"], found["bf16"]["enabled"]) == (half == "fp16", half == "bf16")
    assert not {"optimizer", "scheduler"} & set(found)
    assert {v for k, v in found.items() if k.endswith(("batch_size", "per_gpu", "steps", "clipping"))} == {"auto"}


def test_the_shared_memory_op_is_not_compiled_and_locks_lie_in_the_runs_own_folder(
    ops: ModuleType, tmp_path: Path
) -> None:
    deepspeed_settings.quiet_cpu_deepspeed(tmp_path / "extensions")
    assert ops.__compatible_ops__["deepspeed_shm_comm"] is False
    assert os.environ["TORCH_EXTENSIONS_DIR"] == str(tmp_path / "extensions")


def test_a_deepspeed_without_that_private_name_is_refused_with_its_version(
    ops: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "__compatible_ops__", {})
    monkeypatch.setattr(metadata, "version", lambda name: "0.99")
    with pytest.raises(EnvironmentUnfit, match=r"deepspeed 0\.99: no deepspeed_shm_comm") as raised:
        deepspeed_settings.quiet_cpu_deepspeed(tmp_path)
    assert "zero_stage=0" in raised.value.hint


def test_a_missing_deepspeed_is_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(EnvironmentUnfit, match="which is not installed") as raised:
        deepspeed_settings.quiet_cpu_deepspeed(tmp_path)
    assert raised.value.hint.startswith("pip install deepspeed")


@pytest.mark.parametrize(
    ("stored", "half", "warns"),
    [("bfloat16", "fp16", True), ("float32", "fp16", False), ("bfloat16", "bf16", False)],
)
def test_a_bf16_checkpoint_in_fp16_is_warned_about(stored: str, half: str, warns: bool, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"dtype": stored}))
    text = precision.overflow_warning("m", half, SimpleNamespace(folder=tmp_path))
    assert ("may overflow in fp16" in text) == warns
    assert precision.overflow_warning("m", half, None) == ""
