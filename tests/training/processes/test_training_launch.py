"""The launcher: command lines, exits, stops and deaths of its children."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import tiny_training as tiny
from test_training_parity import write_config
from two import environment

from irctl import errors, stopping
from irctl.errors import ConfigError, DataError, EnvironmentUnfit, RunFailed, Stopped
from irctl.paths import RunPaths
from irctl.training import precision
from irctl.training.processes import launch
from irctl.training.run_files import checkpoints, journal


def folder(tmp_path: Path) -> RunPaths:
    paths = RunPaths(tmp_path)
    paths.log.touch()
    return paths


def start(paths: RunPaths, code: str, rows: list | None = None) -> None:
    found = rows if rows is not None else []
    launch.run([sys.executable, "-c", code, str(paths.folder)], {}, paths, on_row=found.append)


def test_one_device_is_a_plain_child() -> None:
    got = launch.argv(tiny.configuration(), Path("runs/with space"))
    assert got == [sys.executable, "-P", "-m", "irctl.training.processes.worker", "runs/with space"]


def test_several_devices_are_started_by_torchrun_or_deepspeed() -> None:
    config = tiny.configuration(**{"hardware.devices": 4})
    head = [sys.executable, "-P", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4"]
    assert launch.argv(config, Path("r")) == [*head, "-m", "irctl.training.processes.worker", "r"]
    head = [sys.executable, "-P", "-m", "deepspeed.launcher.runner", "--num_gpus", "4", "--no_local_rank"]
    assert launch.argv(config, Path("r"), "deepspeed") == [*head, "--module", "irctl.training.processes.worker", "r"]
    with pytest.raises(ConfigError, match=r"--launcher mpirun: expected torchrun or deepspeed$"):
        launch.argv(config, Path("r"), "mpirun")


def test_several_nodes_are_started_by_srun_on_the_first_host_of_the_job(tmp_path, monkeypatch) -> None:
    fake = tmp_path / "scontrol"
    fake.write_text('#!/bin/sh\n[ "$*" = "show hostnames gpu[07-08]" ] && printf "gpu07\\ngpu08\\n"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in (("NNODES", "2"), ("JOB_ID", "16001"), ("JOB_NODELIST", "gpu[07-08]")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    got = launch.argv(tiny.configuration(**{"hardware.devices": 16}), Path("r"))
    assert got[:2] == ["srun", "--ntasks-per-node=1"]
    assert got[2:6] == [sys.executable, "-P", "-m", "torch.distributed.run"]
    assert got[6:] == [
        "--nnodes=2",
        "--nproc-per-node=8",
        "--rdzv-backend=c10d",
        "--rdzv-id=16001",
        "--rdzv-endpoint=gpu07:16001",
        "-m",
        "irctl.training.processes.worker",
        "r",
    ]
    with pytest.raises(ConfigError, match="cannot be shared evenly by 2 nodes"):
        launch.argv(tiny.configuration(**{"hardware.devices": 3}), Path("r"))


def test_rows_reach_the_caller_and_the_log_keeps_the_output(tmp_path) -> None:
    paths, rows = folder(tmp_path), []
    code = "import sys; print('hello'); open(sys.argv[1] + '/metrics.jsonl', 'a').write('{\"event\": \"done\"}\\n')"
    start(paths, code, rows)
    assert rows == [{"event": "done"}] and "hello" in paths.log.read_text()
    assert json.loads(paths.launch.read_text())["training"]["argv"][0] == sys.executable


def test_training_adds_to_what_launch_json_says_of_machine_and_packages(tmp_path) -> None:
    paths = folder(tmp_path)
    paths.launch.write_text('{"argv": ["irctl", "train"], "packages": {"torch": "2"}, "env": {"LANG": "C"}}')
    launch.run([sys.executable, "-c", "pass"], environment(), paths, on_row=print, also={"dev_negatives": "x"})
    told = json.loads(paths.launch.read_text())
    assert (told["argv"], told["packages"], told["env"]) == (["irctl", "train"], {"torch": "2"}, {"LANG": "C"})
    assert told["training"]["argv"] == [sys.executable, "-c", "pass"] and told["dev_negatives"] == "x"


def test_a_workers_error_is_raised_as_what_it_was(tmp_path) -> None:
    row = {"event": "error", "kind": "DataError", "message": "corpus.jsonl:3: torn", "hint": "Mend it", "exit_code": 3}
    code = f"import sys; open(sys.argv[1] + '/metrics.jsonl', 'a').write({json.dumps(row)!r} + chr(10)); sys.exit(1)"
    with pytest.raises(DataError, match=r"corpus\.jsonl:3: torn\. Mend it") as raised:
        start(folder(tmp_path), code)
    assert raised.value.exit_code == errors.DATA


def test_a_death_names_the_signal_or_the_last_line(tmp_path) -> None:
    with pytest.raises(launch.Killed, match=r"killed by SIGKILL, perhaps .* memory") as raised:
        start(folder(tmp_path), "import os; os.kill(os.getpid(), 9)")
    assert raised.value.signal == 9
    with pytest.raises(RunFailed, match=r"code 7; last line of .*: oh no"):
        start(folder(tmp_path), "import sys; print('oh no'); sys.exit(7)")


def test_a_killed_rank_is_found_in_what_torchrun_says(tmp_path) -> None:
    with pytest.raises(launch.Killed, match="killed by SIGKILL") as raised:
        start(folder(tmp_path), "import sys; print('  exitcode  : -9 (pid: 12)'); print('===='); sys.exit(1)")
    assert raised.value.signal == 9


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (None, "before it went on; what was saved is kept"),  # another process may have saved more meanwhile
        (0, "before the first step was done, so nothing is kept"),
        (3, "saved at step 3 of 9"),
    ],
)
def test_a_stop_says_what_is_kept(step: int | None, said: str) -> None:
    assert launch._tell_kept(step, 9) == said


@pytest.mark.parametrize(
    ("number", "code", "status"),
    [(signal.SIGUSR2, 75, "preempted"), (signal.SIGTERM, 143, "interrupted"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_signal_becomes_a_stop_file_and_is_not_passed_on(tmp_path, number, code: int, status: str) -> None:
    paths = folder(tmp_path)
    worker = (
        "import pathlib, signal, sys, time\n"
        "for n in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT): signal.signal(n, lambda *_: sys.exit(99))\n"
        "folder = pathlib.Path(sys.argv[1]); (folder / 'ready').touch()\n"
        "while not (folder / 'control/stop').exists(): time.sleep(0.02)\n"
        "with (folder / 'metrics.jsonl').open('a') as f:\n"
        '    f.write(\'{"event": "stopped", "step": 3, "steps": 9}\' + chr(10))\n'
    )

    def send() -> None:
        while not (tmp_path / "ready").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    stopping.install()
    thread = threading.Thread(target=send)
    thread.start()
    try:
        with pytest.raises(Stopped) as raised:
            start(paths, worker)
    finally:
        thread.join()
        stopping.restore()
    assert (raised.value.exit_code, raised.value.status) == (code, status)
    assert "saved at step 3 of 9" in raised.value.message
    assert json.loads(paths.stop.read_text()) == {"signal": number.name}


def test_a_worker_that_is_signalled_by_the_scheduler_ends_the_run_as_interrupted(tmp_path) -> None:
    code = (
        "import sys, pathlib; from irctl.paths import RunPaths\n"
        "from irctl.training.processes import launch; from irctl.training.run_files import journal\n"
        "paths = RunPaths(pathlib.Path(sys.argv[1])); launch.request_stop(paths, 15)\n"
        "journal.TrainingJournal(paths).event('stopped', step=1, steps=2)\n"
    )
    paths = folder(tmp_path)
    with pytest.raises(Stopped) as raised:
        launch.run([sys.executable, "-c", code, str(tmp_path)], environment(), paths, on_row=lambda row: None)
    assert (raised.value.exit_code, raised.value.status) == (143, "interrupted")


def test_an_old_stop_file_does_not_stop_a_new_start(tmp_path) -> None:
    paths = folder(tmp_path)
    launch.request_stop(paths, signal.SIGUSR2)
    start(paths, "pass")
    assert not paths.stop.exists()


def test_nothing_of_the_group_outlives_the_launcher(tmp_path) -> None:
    code = (
        "import subprocess, sys, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "pathlib.Path(sys.argv[1], 'pid').write_text(str(child.pid))\n"
    )
    start(folder(tmp_path), code)
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]:
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} still lives")


def test_children_see_no_more_gpus_than_the_run_uses(monkeypatch) -> None:
    assert launch.environment(tiny.configuration())["CUDA_VISIBLE_DEVICES"] == ""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    one = tiny.configuration(**{"hardware.device_kind": "cuda"})
    assert launch.environment(one)["CUDA_VISIBLE_DEVICES"] == "5"
    two = tiny.configuration(**{"hardware.device_kind": "cuda", "hardware.devices": 2})
    assert "CUDA_VISIBLE_DEVICES" not in launch.environment(two)


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"hardware.precision": "fp16"}, "hardware.precision=fp16 (from test): the CPU", "--profile cpu"),
        (
            {"hardware.device_kind": "cuda", "hardware.precision": "bf16", "hardware.capability": "7.0"},
            "asks for bf16",
            "--profile v100x8",
        ),
        (
            {"hardware.device_kind": "cuda", "hardware.precision": "bf16", "hardware.capability": "7.5"},
            "asks for bf16",
            "--profile t4",
        ),
        ({"model.attention": "flash_attention_2"}, "the CPU has no kernels", "model.attention=sdpa"),
        (
            {
                "hardware.device_kind": "cuda",
                "model.attention": "flash_attention_2",
                "hardware.capability": "7.5",
                "hardware.precision": "fp16",
            },
            "has no kernels",
            "model.attention=sdpa",
        ),
    ],
)
def test_arithmetic_that_a_device_lacks_is_refused(values, message, hint) -> None:
    with pytest.raises(EnvironmentUnfit) as raised:
        precision.check_declared(tiny.configuration(**values))
    assert message in raised.value.message and hint in raised.value.hint and raised.value.exit_code == 4


def test_cuda_asked_for_without_a_device_is_refused(monkeypatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EnvironmentUnfit, match="sees no CUDA device"):
        precision.check_device(tiny.configuration(**{"hardware.device_kind": "cuda", "hardware.precision": "fp16"}))


@pytest.mark.parametrize(
    ("capability", "arches", "ask", "message"),
    [
        ((7, 0), ["sm_75", "sm_80", "sm_90"], "fp16", "has no kernels for it"),
        ((7, 0), ["sm_70", "sm_80"], "bf16", "asks for bf16; this GPU (Tesla, SM 7.0) has none"),
        ((8, 6), ["sm_80", "sm_90"], "bf16", ""),
        ((7, 5), ["sm_70", "sm_75"], "fp16", ""),
    ],
)
def test_bf16_is_decided_by_capability_not_by_emulation(monkeypatch, capability, arches, ask, message) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: arches)
    config = tiny.configuration(**{"hardware.device_kind": "cuda", "hardware.precision": ask})
    if not message:
        return precision.check_device(config)
    with pytest.raises(EnvironmentUnfit) as raised:
        precision.check_device(config)
    assert message in raised.value.message


# Whole processes: each start imports torch and transformers.

HERE = Path(__file__).parents[1]


def long_run(folder: Path, **more):
    return write_config(
        folder,
        tiny.configuration(
            **{
                "loss.name": "ws2:1,infonce:0.1",
                "loss.temperature": "auto",
                "batch.global": 10,
                "train.lr": 0.01,
                "train.epochs": 300.0,
                "train.save": "100",
                **more,
            }
        ),
    )


def command(paths: RunPaths, config=None) -> list[str]:
    base = launch.argv(config or tiny.configuration(), paths.folder)
    at = base.index("irctl.training.processes.worker")
    return [*base[: at - 1], str(HERE / "tiny_training.py"), *base[at + 1 :]]


def worker_of(paths: RunPaths) -> int:
    """Process id of the worker, from the list of processes."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(paths.folder) in file.read_text():
                return int(file.parent.name)
        except OSError:  # it ended meanwhile
            continue
    raise AssertionError("no worker")


@pytest.mark.slow
def test_kill_9_in_the_middle_and_the_same_command_again_gives_the_same_bytes(tmp_path) -> None:
    whole, killed = long_run(tmp_path / "whole"), long_run(tmp_path / "killed")
    launch.run(command(whole), environment(), whole, on_row=lambda row: None)
    dead: list[int] = []

    def kill(row: dict) -> None:
        if row.get("name") == "loss" and row["step"] > 250 and not dead:
            dead.append(worker_of(killed))
            os.kill(dead[0], signal.SIGKILL)

    with pytest.raises(RunFailed, match="killed by SIGKILL"):
        launch.run(command(killed), environment(), killed, on_row=kill)
    assert not killed.model.exists()
    assert 200 <= checkpoints.newest(killed.checkpoints).step < 600
    launch.run(command(killed), environment(), killed, on_row=lambda row: None)
    assert (killed.model / "model.safetensors").read_bytes() == (whole.model / "model.safetensors").read_bytes()
    ends = [journal.events(paths.metrics)[-1] for paths in (killed, whole)]
    assert ends[0] | {"peak_memory_gib": 0} == ends[1] | {"peak_memory_gib": 0}


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_zero_equals_plain_data_parallel_and_continues_exactly(tmp_path, stage: int) -> None:
    more = {"train.epochs": 2.0, "train.save": "2", "hardware.devices": 2, "run.name": "no dropout", "batch.micro": 2}
    plain, zero = (
        long_run(tmp_path / name, **more, **{"hardware.zero_stage": at, "batch.global": 8, "batch.loss": 4})
        for name, at in (("plain", 0), ("zero", stage))
    )
    config = tiny.configuration(**{"hardware.devices": 2})
    for paths in (plain, zero):
        launch.run(command(paths, config), environment(), paths, on_row=lambda row: None)
    wanted = journal.steps(plain.metrics)
    assert {s: v["loss"] for s, v in journal.steps(zero.metrics).items()} == pytest.approx(
        {s: v["loss"] for s, v in wanted.items()}, rel=1e-5
    )
    last = journal.steps(zero.metrics)
    assert [values["lr"] for values in last.values()] == [values["lr"] for values in wanted.values()]
    for checkpoint in checkpoints.whole(zero.checkpoints)[1:]:
        for file in sorted(checkpoint.folder.rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()
    zero.metrics.unlink()
    launch.run(command(zero, config), environment(), zero, on_row=lambda row: None)
    again = journal.steps(zero.metrics)
    assert again and {s: v["loss"] for s, v in again.items()} == pytest.approx(
        {s: last[s]["loss"] for s in again}, rel=1e-6
    )
