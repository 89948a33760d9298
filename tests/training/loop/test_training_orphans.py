"""Workers whose launcher was killed: what they still write is not the next launcher's, and they see that it is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_training_runs import config, run
from two import environment
from workspace import Workspace

from irctl.ledger.files import identity
from irctl.paths import RunPaths
from irctl.training.processes import launch

BOTH = """
import os, sys, pathlib
from irctl.paths import RunPaths
from irctl.training.run_files.journal import TrainingJournal
paths = RunPaths(pathlib.Path(sys.argv[1]))
own = TrainingJournal(paths, "cranfield")
os.environ["IRCTL_LAUNCH"] = "1-1"
old = TrainingJournal(paths, "cranfield")
old.step(2, 0.1, {"loss": 9.0})
own.step(3, 0.2, {"loss": 1.0})
old.event("stopped", step=2, steps=9)
own.event("done", steps=9)
old.event("error", kind="DataError", message="not ours", hint="", exit_code=3)
"""


def test_rows_of_a_worker_of_an_earlier_launcher_end_nothing_and_are_not_shown(tmp_path: Path) -> None:
    paths, rows = RunPaths(tmp_path), []
    launch.run([sys.executable, "-c", BOTH, str(tmp_path)], environment(), paths, on_row=rows.append)
    assert [(r.get("event"), r.get("step"), r.get("value")) for r in rows] == [(None, 3, 1.0), ("done", None, None)]
    written = [json.loads(line) for line in paths.metrics.read_text().splitlines()]
    assert [r["launcher"] == "1-1" for r in written] == [True, False, True, False, True]


def test_a_worker_sees_that_its_launcher_is_a_process_that_nobody_waited_for(tmp_path: Path, monkeypatch) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        while identity.start_ticks(child.pid) is not None:
            time.sleep(0.02)
        assert Path(f"/proc/{child.pid}").exists()
        monkeypatch.setenv("IRCTL_LAUNCHER_PID", str(child.pid))
        assert run(tmp_path, config()) == {"event": "stopped", "step": 1, "steps": 6}


LINE = "train --set train.max_steps=2 --set batch.global=8 --set eval.during=off --set train.save=1"


def test_a_training_that_is_asked_to_stop_after_its_last_step_is_complete(
    place: Workspace, in_process, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = launch.run

    def late(*args, **more) -> None:
        inner(*args, **more)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(launch, "run", late)
    done = place.run(f"{LINE} --json")
    assert done.code == 0, done.err
    assert place.ok("runs show latest --json").json["status"] == "completed"


@pytest.mark.slow
def test_the_command_that_follows_a_killed_launcher_completes_while_the_orphan_stops(place: Workspace) -> None:
    line = ["-P", "-m", "irctl.cli", *LINE.replace("max_steps=2", "max_steps=60").split(), "--set", "run.seed=5"]
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(Path.cwd())])}
    first = subprocess.Popen([sys.executable, *line], cwd=place.folder, env=surroundings)
    before = set((place.folder / "runs").glob("*/metrics.jsonl"))
    while not (new := set((place.folder / "runs").glob("*/metrics.jsonl")) - before) or '"loss"' not in (
        new.copy().pop().read_text()
    ):
        time.sleep(0.05)
        assert first.poll() is None
    first.kill()
    first.wait()
    again = subprocess.run(
        [sys.executable, *line, "--json"], cwd=place.folder, env=surroundings, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert "continuing" in again.stderr
    shown = place.ok("runs show latest:train --json").json
    assert (shown["status"], shown["exit_code"]) == ("completed", 0)
    rows = [json.loads(text) for text in new.pop().read_text().splitlines()]
    assert len({r["launcher"] for r in rows if r.get("name") == "loss"}) == 2
