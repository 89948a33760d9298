"""One process, two, and two under DeepSpeed train the same encoder; so does a training that is killed on its way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import acerag_pair as pair
import acerag_training as tiny
import pytest
import safetensors.torch
import torch
from two import environment, run_pair

from irctl.methods.acerag import Method
from irctl.training.loop import session
from irctl.training.run_files import checkpoints, journal

pytestmark = pytest.mark.slow
ENCODER = "compressive_encoder/model.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acerag")
    tiny.make_models(folder)
    tiny.make_files(folder)
    return folder


def weights(run: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run / "model" / ENCODER)


def trained_here(made: Path, folder: Path, **more: object) -> Path:
    config = tiny.configuration(made, **more)
    paths = tiny.open_run(folder, config)
    session.run(config, paths, Method.build)
    return paths.folder


def trained_by_two(made: Path, folder: Path, **more: object) -> Path:
    config = tiny.configuration(made, **{"hardware.devices": 2, **more})
    tiny.open_run(folder, config)
    run_pair(Path(pair.__file__), str(folder))
    return folder


def assert_same(got: Path, wanted: Path) -> None:
    for name, tensor in weights(wanted).items():
        assert torch.allclose(weights(got)[name], tensor, rtol=1e-5, atol=1e-5), name
    first, other = (journal.steps(run / "metrics.jsonl")[1] for run in (got, wanted))
    assert first["loss"] == pytest.approx(other["loss"], rel=1e-5)
    assert first["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)


@pytest.fixture(scope="module")
def of_two(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    out = tmp_path_factory.mktemp("two") / "weights"
    run_pair(Path(pair.__file__), str(out), str(made))
    return safetensors.torch.load_file(out)


@pytest.mark.parametrize("adam", [False, True])
@pytest.mark.parametrize("number", range(len(pair.CASES)))
def test_two_processes_in_chunks_and_accumulation_train_the_weights_of_one(
    made: Path, of_two: dict[str, torch.Tensor], number: int, adam: bool
) -> None:
    """Losses, gradients and weights, under SGD and under AdamW.

    AdamW divides a gradient by its own size, so that of an element whose true gradient is about 0 the order of sums
    decides the step. It moves by the step's length at the most where that noise is above epsilon (1e-8): at lr 1e-3
    the largest difference measured is 1.3e-6 in a weight and 1e-7 of a loss; lr 1e-2 or a smaller epsilon would show.
    """
    own = f"{number}.{adam}."
    got = {k.removeprefix(own): v for k, v in of_two.items() if k.startswith(own)}
    for found in (got, pair.train(made, number, alone=False, adam=adam)):
        wanted = pair.train(made, number, alone=True, adam=adam)
        assert found.keys() == wanted.keys()
        for name, tensor in wanted.items():
            assert torch.allclose(found[name], tensor, rtol=1e-5, atol=1e-5), (pair.CASES[number], name)


def test_zero_2_in_two_processes_trains_the_weights_of_one(made: Path, tmp_path: Path) -> None:
    pytest.importorskip("deepspeed")
    rate = {"train.lr": 1e-3}  # as above: noise is as large as the rate
    one = trained_here(made, tmp_path / "one", **rate)
    two = trained_by_two(made, tmp_path / "zero", **{"hardware.zero_stage": 2, **rate})
    assert_same(two, one)
    kept = checkpoints.whole(two / "checkpoints")[-1].folder
    assert not any("lm_head" in str(f) for f in kept.rglob("*"))


def test_kill_9_between_checkpoints_and_the_same_command_again_leave_the_same_bytes(made: Path, tmp_path: Path) -> None:
    sets = {
        "acerag.lm": made / "lm-llama", "acerag.data_files": made / "recall-train.json", "acerag.stage": "ft",
        "acerag.layers": 1, "acerag.chunk_tokens": 20, "acerag.lm_tokens": 64, "acerag.held_out": 0.2, "batch.micro": 8,
        "train.save": 20, "train.gradient_checkpointing": "false", "hardware.omp_threads": 1,
    }  # fmt: skip
    words = [f"--set={key}={value}" for key, value in sets.items()]
    line = [sys.executable, "-m", "irctl.cli", "train", "--method", "acerag", "--max-steps", "80", *words]
    encoders = []
    for name in ("whole", "killed"):
        runs = tmp_path / name
        own = environment(IRCTL_RUNS=str(runs), IRCTL_CACHE=str(tmp_path / "cache"))
        if name == "killed":
            with subprocess.Popen(line, env=own, start_new_session=True, stdout=subprocess.DEVNULL) as child:
                while (
                    not (rows := [s for f in runs.glob("*/metrics.jsonl") for s in journal.steps(f)]) or max(rows) < 50
                ):
                    time.sleep(0.05)
                    assert child.poll() is None, "it was over before it could be killed"
                os.killpg(child.pid, signal.SIGKILL)
            (run,) = (f.parent for f in runs.glob("*/config.json"))
            assert not (run / "model").exists() and (run / "checkpoints/step-40").is_dir()
        done = subprocess.run(line, env=own, check=True, capture_output=True, text=True)
        (run,) = (f.parent for f in runs.glob("*/config.json"))
        encoders.append((run / "model" / ENCODER).read_bytes())
        assert done.returncode == 0
    assert encoders[0] == encoders[1]
