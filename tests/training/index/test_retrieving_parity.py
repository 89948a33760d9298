"""One process, two processes and chunks train the same weights, with SGD and the clip active."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pair_of_processes as pair
import pytest
import safetensors.torch
import torch

from irctl.training.loop.trainer import MethodModule

HERE = Path(__file__).parent


def assert_same(got: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], what: object) -> None:
    for name, tensor in wanted.items():
        assert torch.allclose(got[name], tensor, rtol=0, atol=1e-6), (what, name, got[name] - tensor)


@pytest.mark.parametrize("loss", ["infonce", "lambdamrr"])
def test_chunks_of_queries_change_nothing(loss: str) -> None:
    whole = pair.train(loss, 8, 100)
    assert whole["norm0"] > 0.01, "the clip is active"
    start = dict(MethodModule(pair.Codes(loss, 1)).named_parameters())
    assert all(not torch.equal(value, whole[name]) for name, value in start.items()), "encoder and centroids move"
    for micro in (3, 7):
        assert_same(pair.train(loss, 8, micro), whole, micro)


@pytest.mark.slow
def test_two_processes_train_the_weights_of_one(tmp_path: Path) -> None:
    path = os.pathsep.join(map(str, (HERE.parents[2], HERE, HERE.parent)))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    words = [sys.executable, str(HERE / "pair_of_processes.py")]
    both = [
        subprocess.Popen([*words, str(rank), f"file://{tmp_path}/meet", str(tmp_path / "got")], env=environment)
        for rank in (0, 1)
    ]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    found = safetensors.torch.load_file(tmp_path / "got")
    for number, case in enumerate(pair.CASES):
        got = {k.partition(".")[2]: v for k, v in found.items() if k.startswith(f"{number}.")}
        assert_same(got, pair.train(*case), case)
