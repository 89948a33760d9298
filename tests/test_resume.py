"""Which run a command continues: the newest unfinished one of its line, the one named, or the Slurm job's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from workspace import Workspace

from irctl.pipelines.search import bm25
from irctl.pipelines.train import train as training

SEARCH = "search --retriever bm25 -k 3"


@pytest.fixture
def in_job(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretend to be a Slurm job, or one task of an array."""

    def pretend(job: str, restarts: int = 0, task: str = "") -> None:
        monkeypatch.setenv("SLURM_JOB_ID", f"{job}{task and '00' + task}")
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(restarts))
        if task:
            monkeypatch.setenv("SLURM_ARRAY_JOB_ID", job)
            monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)

    return pretend


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A search that fails as often as the list says, and then returns nothing but success."""
    fails: list[bool] = []

    def work(*args: object, **given: object) -> dict[str, object]:
        if fails and fails.pop(0):
            raise MemoryError("out")
        return {}

    monkeypatch.setattr(bm25, "search", work)
    return fails


def run_of(place: Workspace, line: str) -> str:
    """Id of the run that a line made or continued."""
    place.run(line)
    return str(place.ok("runs show latest:search --json").json["id"])


def state(place: Workspace, run: str, **columns: Any) -> None:
    """Write into run.json, as a process did that is gone."""
    file = place.folder / "runs" / run / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | columns))
    place.ok("runs reindex")


def test_the_same_line_continues_what_it_left_and_starts_anew_once_that_is_complete(
    place: Workspace, dying: list[bool]
) -> None:
    dying += [True, False, False]
    line = f"{SEARCH} --seed 1"
    first = run_of(place, line)
    assert place.ok(f"{line} --json").json["run"] == first
    assert place.ok(f"{line} --json").json["run"] != first


def test_another_line_leaves_it_alone(place: Workspace, dying: list[bool]) -> None:
    dying += [True, False]
    first = run_of(place, f"{SEARCH} --seed 2")
    assert place.ok(f"{SEARCH} --seed 2 -k 4 --json").json["run"] != first


def test_a_line_that_names_no_file_here_continues_its_run_from_another_folder(
    place: Workspace, dying: list[bool], tmp_path: Path
) -> None:
    dying += [True, False]
    line = f"{SEARCH} --seed 6"
    first = run_of(place, line)
    assert Workspace(tmp_path).ok(f"{line} --json").json["run"] == first


def test_a_line_with_a_relative_file_is_another_run_in_another_folder(
    place: Workspace, dying: list[bool], tmp_path: Path
) -> None:
    dying += [True, False, False]
    line = f"{SEARCH} --seed 6 --out found.trec"
    first = run_of(place, line)
    assert Workspace(tmp_path).ok(f"{line} --json").json["run"] != first
    assert place.ok(f"runs show {first} --json").json["status"] == "failed"
    assert Workspace(tmp_path).ok(f"{line.replace('found', str(place.folder / 'found'))} --json").json["run"] == first


def test_resume_none_starts_new(place: Workspace, dying: list[bool]) -> None:
    dying += [True, False]
    line = f"{SEARCH} --seed 7"
    first = run_of(place, line)
    assert place.ok(f"{line} --resume none --json").json["run"] != first


def test_a_requeued_job_takes_its_own_run_though_its_first_process_seems_alive(
    place: Workspace, dying: list[bool], in_job: Any
) -> None:
    line = f"{SEARCH} --seed 3"
    dying += [True, True, False, False]
    in_job("100")
    mine = run_of(place, line)
    state(place, mine, status="running", host="elsewhere", boot_id="x", heartbeat_at="2999-01-01T00:00:00.000Z")
    in_job("200")
    theirs = run_of(place, line)
    assert theirs != mine
    in_job("100", restarts=1)
    assert place.ok(f"{line} --json").json["run"] == mine
    in_job("200", restarts=1)
    assert place.ok(f"{line} --json").json["run"] == theirs


def test_a_live_run_of_the_same_job_is_not_taken_over(place: Workspace, dying: list[bool], in_job: Any) -> None:
    line = f"{SEARCH} --seed 4"
    dying += [True, False, False]
    in_job("300")
    first = run_of(place, line)
    state(place, first, status="running", host="elsewhere", boot_id="x", heartbeat_at="2999-01-01T00:00:00.000Z")
    assert place.ok(f"{line} --json").json["run"] != first
    done = place.run(f"{line} --resume {first}")
    assert done.code == 3 and "still running" in done.err
    state(place, first, status="failed")


def test_tasks_of_an_array_continue_their_own_runs(place: Workspace, dying: list[bool], in_job: Any) -> None:
    line = f"{SEARCH} --seed 5"
    dying += [True, True, False, False]
    runs = []
    for task in ("0", "1"):
        in_job("400", task=task)
        runs.append(run_of(place, line))
    for task, run in zip(("0", "1"), runs, strict=True):
        in_job("400", restarts=1, task=task)
        assert place.ok(f"{line} --json").json["run"] == run
        row = place.ok(f"runs show {run} --json").json
        assert (row["slurm_job_id"], row["slurm_array_task_id"], row["slurm_restart_count"]) == ("400", task, 1)


def test_resume_of_another_command_names_the_newest_that_fits(place: Workspace) -> None:
    place.ok(SEARCH)
    done = place.run("train --resume latest")
    assert done.code == 2 and "is a run of 'search', not of 'train'. latest:train is the newest of those" in done.err


@pytest.fixture
def unfinished(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> str:
    """A training that ended before its first checkpoint."""

    def die(*args: object, **given: object) -> None:
        raise MemoryError("out")

    with monkeypatch.context() as patched:
        patched.setattr(training, "train", die)
        assert place.run("train --max-steps 1").code == 1
    return str(place.ok("runs show latest:train --json").json["id"])


@pytest.mark.parametrize("job", ["", "500"])
def test_resume_of_a_training_without_a_checkpoint_is_refused_also_inside_a_job(
    job: str, place: Workspace, unfinished: str, in_job: Any
) -> None:
    if job:
        in_job(job)
    done = place.run(f"train --max-steps 1 --resume {unfinished}")
    assert done.code == 3
    assert done.err.splitlines()[-1] == (
        f"error: --resume {unfinished}: no checkpoint there. Drop --resume to start new"
    )
    kept = place.ok(f"runs show {unfinished} --json").json
    assert kept["status"] == "failed" and "(out)" in kept["error_msg"], "the refusal leaves the run as it was"


@pytest.mark.parametrize("columns", [{"status": "queued"}, {"status": "preempted", "slurm_job_id": "600"}])
def test_a_job_may_start_its_own_run_without_a_checkpoint(
    columns: dict[str, str], place: Workspace, unfinished: str, in_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def train(config: object, run: object, reporter: object, **more: object) -> dict[str, object]:
        asked.append(more.get("resume", False))
        return {}

    monkeypatch.setattr(training, "train", train)
    in_job("600", restarts=1)
    state(place, unfinished, **columns)
    assert place.ok(f"train --max-steps 1 --resume {unfinished} --json").json["run"] == unfinished
    assert asked == [False]
