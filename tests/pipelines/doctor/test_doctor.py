"""`irctl doctor`: each thing that can be wrong with a machine is found, and comes with what to do about it."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from irctl import config, paths, profiles
from irctl.errors import ConfigError
from irctl.origins import derived
from irctl.pipelines.doctor import doctor, recipe_checks
from irctl.pipelines.doctor.finding import Finding

GPU = {"devices": 8, "device_kind": "cuda", "precision": "bf16", "attention": "sdpa", "torch_wheel": "cu126"}


def of(findings: object, check: str) -> Finding:
    """The finding of one check."""
    return next(f for f in findings if f.check == check)  # type: ignore[attr-defined]


def test_a_finding_without_a_fix_cannot_be_made() -> None:
    with pytest.raises(AssertionError, match="a finding has a fix"):
        Finding("disk", "warning", "full")


def test_this_machine_is_fit_for_the_profile_of_the_cpu() -> None:
    found = doctor.run("cpu")
    assert [f for f in found if f.level == "error"] == []
    assert of(found, "ledger").found.endswith(("write-ahead log", "safe on shared disks"))


def test_a_profile_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="no profile named 'v100'"):
        doctor.run("v100")


def test_an_old_python_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    assert of(doctor._python(), "python").level == "error"


def test_packages_that_are_missing_or_out_of_range_come_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["torch>=99,<100", "not-there>=1", "numpy>=1", "ray>=1; extra == 'ray'"]
    monkeypatch.setattr(metadata, "requires", lambda name: wanted)
    found = list(doctor._packages())
    assert [f.fix for f in found[:2]] == ["pip install 'torch>=99,<100'", "pip install 'not-there>=1'"]
    assert "range <100,>=99" in found[0].found and found[1].found == "not-there missing"


def test_versions_other_than_the_tested_ones_are_told_unless_only_the_last_part_differs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = tmp_path / "constraints.txt"
    kept.write_text("# made by hand\ntorch==2.13.0\nsentence-transformers==6.2.0\npytest==1.0\npeft==0.21.2\n")
    monkeypatch.setattr(doctor.paths, "tested_versions", lambda: kept)
    wanted = ["torch", "sentence_transformers", "pytest; extra == 'test'", "peft; extra == 'lora'"]
    monkeypatch.setattr(metadata, "requires", lambda name: wanted)
    installed = {"torch": "2.13.1+cpu", "sentence-transformers": "6.3.0", "sentence_transformers": "6.3.0"}
    monkeypatch.setattr(metadata, "version", lambda name: installed.get(name, "0.22.0"))
    told = of(doctor._packages(), "tested versions")
    assert (told.level, told.found) == (
        "warning",
        "sentence-transformers 6.3.0 (tested 6.2.0), peft 0.22.0 (tested 0.21.2)",
    )
    assert str(kept) in told.fix  # an installed wheel has no .ci/


def cuda(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], count: int = 8, nccl: bool = True) -> None:
    """A machine with so many GPUs of this capability, and a torch for sm_75 and later."""
    import torch

    fake = SimpleNamespace(
        is_available=lambda: count > 0,
        device_count=lambda: count,
        get_device_capability=lambda n: capability,
        get_device_name=lambda n: "Tesla",
        get_arch_list=lambda: ["sm_75", "sm_80", "sm_90"],
    )
    monkeypatch.setattr(torch, "cuda", fake)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: nccl)


def test_no_gpu_is_an_error_of_a_gpu_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda(monkeypatch, (8, 0), count=0)
    found = of(doctor._accelerator("a100x8", GPU), "device")
    assert found.level == "error" and "--profile cpu" in found.fix


def test_fewer_gpus_than_the_profile_name_the_devices_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda(monkeypatch, (8, 0), count=4)
    assert of(doctor._accelerator("a100x8", GPU), "device").fix == "Add --devices 0-3"


def test_a_v100_has_no_kernels_in_the_default_wheel_and_no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda(monkeypatch, (7, 0))
    found = list(doctor._accelerator("v100x8", GPU))
    assert of(found, "torch build").fix == "Install the cu126 build of torch"
    assert of(found, "bf16").level == "error"


def test_several_gpus_without_nccl_and_flash_attention_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda(monkeypatch, (8, 0), nccl=False)
    found = list(doctor._accelerator("a100x8", {**GPU, "attention": "flash_attention_2"}))
    assert of(found, "nccl").level == "error"
    assert "model.attention=sdpa" in of(found, "attention").fix


def test_a_compile_lock_older_than_ten_minutes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    lock = tmp_path / "py311_cpu" / "fused_adam" / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    assert of(doctor._locks(), "compile locks").level == "ok"
    os.utime(lock, (1, 1))
    assert of(doctor._locks(), "stale lock").fix == f"rm {lock}"


def test_folders_that_cannot_be_written_name_their_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path / "file" / "runs"))
    monkeypatch.setenv("IRCTL_CACHE", str(tmp_path / "file" / "cache"))
    found = list(doctor._folders())
    assert of(found, "runs folder").fix == "Set IRCTL_RUNS to a writable folder"
    assert of(found, "cache folder").fix == "Set IRCTL_CACHE"


def test_little_space_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**30))
    found = of(doctor._folders(), "runs folder")
    assert found.level == "warning" and "IRCTL_RUNS" in found.fix


def test_a_ledger_that_cannot_be_read_says_how_to_make_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    paths.runs().mkdir()
    paths.ledger().write_bytes(b"no database" * 100)
    assert "runs reindex" in doctor._ledger().fix
    paths.ledger().unlink()
    with closing(sqlite3.connect(paths.ledger())) as connection:
        connection.execute("CREATE TABLE x (y)")
        connection.execute("PRAGMA user_version = 99")
    assert doctor._ledger().level == "warning"
    monkeypatch.setenv("IRCTL_LEDGER_JOURNAL", "fast")
    assert (doctor._ledger().level, doctor._ledger().fix) == ("error", "Unset IRCTL_LEDGER_JOURNAL")


def test_few_open_files_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (256, 4096))
    assert of(doctor._limits(), "open files").fix == "ulimit -n 1024"


def test_a_missing_default_encoder_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("irctl.models.locate.find_bundled_default", lambda: None)
    assert "irctl[demo]" in of(doctor._encoder(), "default encoder").fix


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put programs of these names, printing these texts, alone on PATH."""

    def put(**programs: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, text in programs.items():
            (folder / name).write_text(f"#!/bin/sh\nwhile read -r line; do echo \"$line\"; done <<'E'\n{text}\nE\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return put


def test_slurm_without_scontrol_is_a_warning(tools: Callable[..., None]) -> None:
    tools(sbatch="")
    assert of(doctor._slurm(), "slurm").fix == "Put scontrol on PATH"


@pytest.mark.parametrize(
    ("text", "warns"),
    [
        ("PreemptMode             = REQUEUE\nPreemptParameters       = (null)", True),
        ("PreemptMode             = REQUEUE\nPreemptParameters       = send_user_signal", False),
        ("PreemptMode             = OFF", False),
    ],
)
def test_a_cluster_that_preempts_without_a_signal_is_named(text: str, warns: bool, tools: Callable[..., None]) -> None:
    tools(sbatch="", scontrol=text)
    found = [f for f in doctor._slurm() if f.check == "slurm preemption"]
    assert bool(found) == warns and all("send_user_signal" in f.fix for f in found)


def test_a_wrong_site_file_is_an_error(
    tools: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools(sbatch="", scontrol="")
    (tmp_path / "site.toml").write_text("acount = 'x'\n")
    monkeypatch.setenv("IRCTL_SITE", str(tmp_path / "site.toml"))
    assert of(doctor._slurm(), "site file").level == "error"


def test_the_block_for_a_bug_report_holds_no_secret_and_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz")
    monkeypatch.setenv("MY_PASSWORD", "opensesame")
    text = doctor.issue_block(doctor.run("cpu"))
    assert "hf_abc" not in text and "opensesame" not in text and str(Path.home()) + "/" not in text


def recipe(profile: str = "cpu", **values: object) -> list[Finding]:
    layer = {k.replace("__", "."): (v, derived("test")) for k, v in values.items()}
    return list(recipe_checks.checks(config.resolve(profiles.layer(profile, "dense"), layer)))


def test_a_recipe_fits_with_numbers(tiny_encoder: Path) -> None:
    found = recipe(model__name=str(tiny_encoder))
    assert [f.level for f in found] == ["ok"] * 4
    assert "GiB for weights and optimizer" in of(found, "recipe memory").found


def test_a_compression_recipe_is_checked_as_one() -> None:
    small = {"compress__source": "synthetic:5000,64,0.5", "compress__method": "pq,rabitq"}
    found = recipe(**small)
    assert [f.check for f in found] == ["recipe input", "recipe pq", "recipe rabitq"]
    assert "5,000 rows" in found[0].found and "GiB" in found[1].found
    too_little = of(recipe(**small, compress__memory_gib=0.001), "recipe pq")
    assert too_little.level == "error" and too_little.fix == "Use --stream"  # as the run itself says
    assert of(recipe(**small, pq__m=7), "recipe pq").level == "error"
    missing = of(recipe(compress__source="nowhere.npy"), "recipe input")
    assert missing.level == "warning" and "nowhere.npy" in missing.found


def test_a_recipe_that_does_not_fit_says_what_would(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Nearest legal" in of(recipe(batch__global=20, batch__loss=8), "recipe").fix
    assert "irctl data" in of(recipe(data__source="beir/scifact"), "recipe data").fix
    assert of(recipe(model__name="no/model"), "recipe model").level == "warning"
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1))
    found = recipe(model__name=str(tiny_encoder), hardware__memory_gib=0.001)
    assert "zero_stage=3" in of(found, "recipe memory").fix and "IRCTL_RUNS" in of(found, "recipe disk").fix
