"""A run from start to end: its folder, how it closes, what it never writes, and what a kill leaves behind."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ledger_runs import finished, start

from irctl import config, errors, paths, tables
from irctl.errors import DataError, EnvironmentUnfit
from irctl.ledger import query, recording
from irctl.ledger.database import indexing
from irctl.ledger.files import identity, run_folder
from irctl.ledger.recording import start_run
from irctl.ledger.runs import reap

SECRETS = ("s3cr3t-of-option", "s3cr3t-of-equals", "s3cr3t-of-set", "s3cr3t-of-environment", "us3r:p4ssw0rd")


def test_ids_sort_as_they_were_made() -> None:
    ids = [identity.new_id() for _ in range(20)]
    assert ids == sorted(set(ids))
    assert all(identity.ID_PATTERN.fullmatch(i) for i in ids)
    assert identity.created_at("20260731-142233417-k3f9") == "2026-07-31T14:22:33.417Z"


def test_the_folder_tells_the_whole_run() -> None:
    with start("train", ("train.lr=1e-5",), seed=7, method="sycl") as run:
        run.metric("loss", 0.5, step=1)
        run.event("info", "checkpoint", "step 1")
        run.note(global_batch=32, negatives_per_query=31)
    stored = tables.json_object(run.paths.run_json)
    assert (stored["id"], stored["status"], stored["seed"], stored["global_batch"]) == (run.id, "completed", 7, 32)
    assert stored["argv"] == ["irctl", "train"]
    assert tables.json_object(run.paths.config)["train.lr"] == {"value": 1e-5, "origin": "--set"}
    assert [e["code"] for e in run_folder.read_lines(run.paths.events)] == ["running", "checkpoint", "completed"]
    assert run_folder.read_lines(run.paths.metrics)[0]["name"] == "loss"
    launch = tables.json_object(run.paths.launch)
    assert launch["packages"]["pytest"] == pytest.__version__ and launch["ram_gib"] > 0
    row = query.find_run(run.id).columns
    assert row["dataset"] == "cranfield" and row["duration_s"] >= 0 and row["cpu_s"] >= 0
    assert row["config_sha256"] == config.resolve(config.from_sets(["train.lr=1e-5"])).sha256()


def test_files_that_vanish_while_an_artifact_is_measured_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # two compressions over one folder: the first to finish drops the journal while the other describes the bundle
    (tmp_path / "made" / "journal").mkdir(parents=True)
    (tmp_path / "made" / "manifest.json").write_text("12345")
    (tmp_path / "made" / "journal" / "manifest.w00.jsonl").write_text("gone soon")
    (tmp_path / "made" / "half.tmp").write_text("not yet")
    plain = Path.stat

    def vanished(self: Path, **options: bool) -> os.stat_result:
        if self.suffix == ".jsonl":
            raise FileNotFoundError(2, "No such file or directory", str(self))
        return plain(self, **options)

    monkeypatch.setattr(Path, "stat", vanished)
    with start("compress") as run:
        run.artifact("out", "bundle", tmp_path / "made", sha256="abc")
    (artifact,) = query.artifacts(query.find_run(run.id))
    assert (artifact["size"], artifact["sha256"]) == (5, "abc")


def test_the_promised_query_works_as_written() -> None:
    run = finished("compress", dataset="msmarco-streaming")
    found = query.rows("SELECT * FROM runs WHERE dataset='msmarco-streaming'")
    assert [r["id"] for r in found] == [run.id]


@pytest.mark.parametrize(
    ("error", "status", "code", "kind"),
    [
        (None, "completed", 0, None),
        (errors.DataError("no qrels"), "failed", 3, "DataError"),
        (query.SeveralRuns("of a finer class"), "failed", 3, "DataError"),
        (errors.PartlyDone("3 of 4 shards"), "failed", 5, "PartlyDone"),
        (ValueError("odd"), "failed", 1, "ValueError"),
        (KeyboardInterrupt(), "interrupted", 130, "KeyboardInterrupt"),
        (errors.Stopped("USR2", exit_code=75, status="preempted"), "preempted", 75, "Stopped"),
        (errors.Stopped("TERM", exit_code=143, status="interrupted"), "interrupted", 143, "Stopped"),
        (SystemExit(0), "completed", 0, None),
    ],
)
def test_how_a_run_ends_is_what_ended_it(error: BaseException | None, status: str, code: int, kind: str) -> None:
    def work() -> str:
        with start() as run:
            if error is not None:
                raise error
        return run.id

    if error is None:
        work()
    else:
        with pytest.raises(type(error)):
            work()
    row = query.find_run("latest").columns
    assert (row["status"], row["exit_code"], row["error_kind"]) == (status, code, kind)


def test_only_the_first_finish_counts() -> None:
    with pytest.raises(errors.RunFailed), start() as run:
        run.finish("killed", exit_code=1, signal=9, error_kind="OutOfMemory", error_msg="the worker was killed")
        raise errors.RunFailed("worker gone")
    row = query.find_run(run.id).columns
    assert (row["status"], row["signal"], row["error_kind"]) == ("killed", 9, "OutOfMemory")


def test_what_workers_appended_is_in_the_ledger_at_the_end() -> None:
    with start() as run:
        code = (
            "import sys; from pathlib import Path; from irctl.paths import RunPaths\n"
            "from irctl.ledger.files.run_folder import append_metric, append_metrics\n"
            "at = RunPaths(Path(sys.argv[1]))\n"
            "append_metric(at, 'loss', 0.25, step=3, epoch=0.5)\n"
            "append_metrics(at, {'lr': 1e-5, 'grad_norm': float('nan')}, step=3)\n"
            "assert 'sqlite3' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", code, str(run.paths.folder)], check=True)
    found = {m["name"]: m for m in query.metrics(run.id)}
    assert (found["loss"]["value"], found["loss"]["step"], found["loss"]["epoch"]) == (0.25, 3, 0.5)
    assert found["lr"]["value"] == 1e-5
    assert found["grad_norm"]["value"] is None


def test_a_torn_last_line_is_dropped_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"name": "loss", "value": 1}\n{"name": "loss", "val')
    assert run_folder.read_lines(path) == [{"name": "loss", "value": 1}]
    run_folder.append_lines(path, {"name": "loss", "value": 2})
    assert [r["value"] for r in run_folder.read_lines(path)] == [1, 2]


def test_long_series_are_thinned_in_the_ledger_and_keep_their_last_point() -> None:
    rows = [{"name": "loss", "value": float(i), "step": i} for i in range(2500)] + [{"name": "RR@10", "value": 0.5}]
    kept = indexing.thin(rows)
    steps = [r[3] for r in kept if r[2] == "loss"]
    assert steps[-1] == 2499 and len(steps) <= 1000 and {b - a for a, b in itertools.pairwise(steps)} == {3}
    assert [r[5] for r in kept if r[2] == "RR@10"] == [0.5]


def test_secrets_never_reach_a_file_of_the_run_or_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", SECRETS[3])
    monkeypatch.setenv("HF_HOME", f"https://{SECRETS[4]}@host/x")
    argv = [
        "irctl",
        "train",
        "--hub-token",
        SECRETS[0],
        f"--wandb-key={SECRETS[1]}",
        "--set",
        f"hub.password={SECRETS[2]}",
    ]
    argv += ["--set", "encoder.batch_tokens=2048"]
    sets = (f"data.source=https://{SECRETS[4]}@host/data",)
    with pytest.raises(ValueError, match="s3cr3t"), start("train", sets, argv=argv, name=f"with {SECRETS[3]}") as run:
        run.event("info", "upload", f"token is {SECRETS[0]}")
        run.note(notes=f"key {SECRETS[1]}", model=f"https://{SECRETS[4]}@host/m")
        run.artifact("in", "model", f"https://{SECRETS[4]}@host/m", sha256="00")
        raise ValueError(f"refused: {SECRETS[2]} {SECRETS[3]}")
    files = [p for p in paths.runs().rglob("*") if p.is_file()]
    assert {"run.json", "launch.json", "config.json", "events.jsonl", "ledger.db"} <= {p.name for p in files}
    for file in files:
        content = file.read_bytes()
        assert not [s for s in SECRETS if s.encode() in content], file
    stored = tables.json_object(run.paths.run_json)["argv"]
    assert stored[:5] == ["irctl", "train", "--hub-token", "***", "--wandb-key=***"]
    assert stored[-1] == "encoder.batch_tokens=2048"  # a setting, though its name holds 'token'
    assert "MY_API_KEY" not in tables.json_object(run.paths.launch)["env"]
    assert run.scrub(f"a {SECRETS[2]}") == "a ***"


def test_a_resumed_run_keeps_its_id_and_appends() -> None:
    with pytest.raises(errors.RunFailed), start(method="sycl", argv=["irctl", "train", "--lr", "1"]) as first:
        first.metric("loss", 2.0, step=1)
        raise errors.RunFailed("disk full")
    settings = config.resolve(config.from_sets(["train.epochs=5"]))
    with start_run(command="train", argv=["irctl", "train"], config=settings, resume=first.paths.folder) as second:
        second.metric("loss", 1.0, step=2)
    assert second.id == first.id
    row = query.find_run(first.id).columns
    assert (row["status"], row["exit_code"], row["error_msg"], row["method"]) == ("completed", 0, None, "sycl")
    assert json.loads(row["argv_json"]) == ["irctl", "train", "--lr", "1"]
    assert [m["value"] for m in query.metrics(first.id) if m["name"] == "loss"] == [2.0, 1.0]
    found = {e["code"]: e["msg"] for e in query.events(first.id)}
    assert "resumed" in found and "train.epochs: 3.0 -> 5.0" in found["config"]
    assert tables.json_object(first.paths.config)["train.epochs"]["value"] == 5.0
    assert row["config_sha256"] == settings.sha256()
    assert len(query.list_runs()) == 1


def test_a_run_that_is_missing_or_alive_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no run there. Drop --resume"):
        start(resume=tmp_path)
    with start() as run, pytest.raises(DataError, match="still running"):
        start(resume=run.paths.folder)


def test_an_unwritable_runs_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path / "file"))
    with pytest.raises(EnvironmentUnfit, match="Set IRCTL_RUNS"):
        start()


def test_a_running_run_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "HEARTBEAT_S", 0.05)
    with start() as run:
        first = query.find_run(run.id).columns["heartbeat_at"]
        run.metric("loss", 1.0)
        deadline = time.monotonic() + 20
        while query.find_run(run.id).columns["heartbeat_at"] == first or not query.metrics(run.id):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert query.find_run(run.id).columns["status"] == "running"


CHILD = (
    "import sys, time; from irctl.ledger.recording import start_run\n"
    "with start_run(command='encode', argv=['irctl', 'encode'], config=None) as run:\n"
    "    run.event('info', 'part', 'one')\n"
    "    print(run.id, flush=True)\n"
    "    time.sleep(60)\n"
)


def test_a_run_killed_outright_is_found_and_marked_lost() -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    run_id = child.stdout.readline().strip()
    assert reap.reap() == []
    assert query.find_run(run_id).columns["status"] == "running"
    os.kill(child.pid, signal.SIGKILL)
    child.wait(20)
    assert reap.reap() == [run_id]
    row = query.find_run(run_id).columns
    assert (row["status"], row["error_kind"]) == ("lost", "Lost")
    assert f"process {child.pid}" in row["error_msg"]
    assert [e["code"] for e in query.events(run_id)] == ["running", "part", "lost"]
    assert (paths.runs() / run_id / "events.jsonl").is_file()  # marked, not deleted
    assert reap.reap() == []


def test_elsewhere_the_heartbeat_decides() -> None:
    run = start()
    stored = tables.json_object(run.paths.run_json) | {"host": "another", "heartbeat_at": run_folder.utc_now()}
    assert identity.is_alive(stored)
    assert identity.is_alive(stored, now=time.time() + 25)
    assert not identity.is_alive(stored, now=time.time() + 35)
    run.finish("completed")


def test_a_pid_used_again_by_another_process_is_not_the_run() -> None:
    run = start()
    stored = tables.json_object(run.paths.run_json)
    assert identity.is_alive(stored)
    assert not identity.is_alive(stored | {"pid_start_ticks": stored["pid_start_ticks"] - 1})
    run.finish("completed")


@pytest.mark.parametrize(
    ("state", "status", "kind"),
    [
        ("OUT_OF_MEMORY", "killed", "OutOfMemory"),
        ("TIMEOUT", "killed", "Timeout"),
        ("NODE_FAIL", "lost", "NodeFail"),
        ("PREEMPTED", "preempted", "Preempted"),
        ("CANCELLED by 1000", "interrupted", "Cancelled"),
        ("RUNNING", "running", None),
    ],
)
def test_the_scheduler_says_why_a_job_went(
    state: str, status: str, kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sacct = tmp_path / "bin" / "sacct"
    sacct.parent.mkdir()
    sacct.write_text(f"#!/bin/sh\necho '{state}'\n")
    sacct.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sacct.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    run = start()
    stored = tables.json_object(run.paths.run_json)
    run_folder.write_json(run.paths.run_json, stored | {"host": "node7", "heartbeat_at": "2026-01-01T00:00:00.000Z"})
    reap.reap()
    row = query.find_run(run.id).columns
    assert (row["status"], row["error_kind"], row["slurm_job_id"]) == (status, kind, "17")


def test_starting_a_run_imports_nothing_heavy() -> None:
    code = (
        "import sys, irctl.ledger.recording, irctl.ledger.query\n"
        "assert not {'torch', 'numpy', 'pandas', 'pyarrow', 'typer', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_full_run_folder_does_not_stop_the_heartbeat(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(identity, "HEARTBEAT_S", 0.02)
    run = start()

    def full(path: Path, value: object) -> None:
        raise OSError(28, "No space left on device")

    with run:
        with monkeypatch.context() as broken:
            broken.setattr(recording.files, "write_json", full)
            time.sleep(0.2)
        assert "No space left on device" in caplog.text
    assert query.find_run(run.id).columns["status"] == "completed"
