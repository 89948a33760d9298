"""Memory of a compression: what it will take, the limit it must stay under, and sizes that fit."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from compressing import DIM, compressed, save_vectors, settings

from irctl.errors import ConfigError
from irctl.origins import derived
from irctl.pipelines.compress import compress as pipeline
from irctl.pipelines.compress import memory
from irctl.pipelines.compress.request import CompressRequest


def test_a_file_too_large_for_memory_asks_for_streaming(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy", 200_000)
    with pytest.raises(ConfigError, match="Use --stream"):
        compressed(source, tmp_path / "a", compress__stream="false", compress__memory_gib=0.6)
    # the same limit is enough for batches
    compressed(source, tmp_path / "a", compress__memory_gib=0.6, compress__batch=10_000, compress__max_batches=1)


def test_every_local_worker_counts_in_the_memory_and_an_array_task_only_itself(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    keys = {"compress__workers": 4, "compress__memory_gib": 1.2}  # a quarter for each and a half beside them
    with pytest.raises(ConfigError, match=r"1\.5 GiB of memory for 4 local workers, the limit is 1.2 GiB") as e:
        compressed(source, tmp_path / "a", **keys)
    assert "compress.workers=2" in e.value.hint
    compressed(source, tmp_path / "b", train_only=True, **keys)
    assert compressed(source, tmp_path / "b", shard="3/4", **keys)["shard"] == 3
    compressed(source, tmp_path / "c", compress__workers=2, compress__memory_gib=1.2)
    four = settings(compress__source=source, compress__workers=4, compress__stream="true")
    assert "1.50 GiB for 4 local workers" in pipeline.describe(four)["pq"]["memory"]
    assert "workers" not in pipeline.describe(four, CompressRequest(runner="slurm"))["pq"]["memory"]


@pytest.mark.parametrize("workers", (1, 2, 7))
@pytest.mark.parametrize("method", ("pq", "opq", "saq"))
def test_the_sizes_that_the_memory_error_names_fit(method: str, workers: int) -> None:
    cap = 3 << 30
    sizes = memory.Sizes(method=method, dim=1024, train_rows=1_000_000, batch_rows=50_000)
    with pytest.raises(ConfigError) as e:
        memory.check(replace(sizes, workers=workers), cap, stream=True)
    found = {key: int(value) for key, value in re.findall(r"(--train-size |--batch )(\d+)", e.value.hint)}
    assert found["--train-size "] > 0 and found["--batch "] % 500 == 0
    assert replace(sizes, train_rows=found["--train-size "], batch_rows=found["--batch "]).needed <= cap
    assert ("one worker" in e.value.hint) == (workers > 1)


def test_the_memory_limit_is_the_smallest_of_the_job_and_its_control_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cgroup"
    (root / "slurm" / "job_1").mkdir(parents=True)
    (root / "slurm" / "memory.max").write_text(f"{900 << 20}\n")
    (root / "slurm" / "job_1" / "memory.max").write_text("max\n")
    (tmp_path / "own").write_text("0::/slurm/job_1\n")
    monkeypatch.setattr(memory, "_CGROUP", (root / "memory.max", root / "memory" / "memory.limit_in_bytes"))
    monkeypatch.setattr(memory, "_OWN", tmp_path / "own")
    assert memory.find_limit(0.0) == 900 << 20
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "200")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4")
    assert memory.find_limit(0.0) == 800 << 20
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")  # all of the node
    assert memory.find_limit(0.0) == 800 << 20


def test_rows_of_length_one_are_in_memory_beside_the_sample() -> None:
    plain = memory.Sizes(method="sq", dim=1024, train_rows=100_000, batch_rows=1000)
    assert replace(plain, is_cosine=True).needed - plain.needed == 100_000 * 1024 * 4


def test_an_estimate_is_numbers_with_a_text_of_them() -> None:
    estimate = memory.Estimate(needed=3 << 29, limit=12 << 30, workers=4)
    assert estimate.text == "1.50 GiB for 4 local workers of 12.0 GiB"
    assert memory.Estimate(1 << 29, 12 << 30, 1).text == "0.50 GiB of 12.0 GiB"


def test_dry_run_says_batches_memory_and_disk(tmp_path: Path) -> None:
    config = settings(compress__source=save_vectors(tmp_path / "x.npy"), compress__method="pq,sq")
    assert pipeline.describe(config)["batches"] == 1  # without --stream a file is a batch
    plan = pipeline.describe(config.replace({"compress.stream": True}, derived("test")))
    assert (plan["rows"], plan["dimensions"], plan["batches"]) == (2600, DIM, 6)
    assert plan["pq"]["bytes a row"] == "4" and plan["sq"]["bytes a row"] == "32" and "GiB" in plan["pq"]["memory"]
    with pytest.raises(ConfigError, match="pq"):
        pipeline.describe(settings(compress__source=tmp_path / "x.npy", pq__m=5))
    with pytest.raises(ConfigError, match="the limit is"):
        pipeline.describe(config.replace({"compress.memory_gib": 0.001}, derived("test")))
