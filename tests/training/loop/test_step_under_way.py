"""A stop in the middle of a long step: what is saved is the state before it, so that the training goes on unbroken."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
import torch

from irctl.errors import RunFailed
from irctl.paths import RunPaths
from irctl.pipelines.train.follow import stop_line
from irctl.training.loop import session, step_under_way
from irctl.training.run_files import checkpoints, journal
from irctl.types import Silent


class Left(Exception):
    """In place of the end of the process."""


def config() -> Any:
    """Two steps an epoch, four in all; saved at the ends of epochs."""
    given = {"batch.global": 10, "batch.micro": 3, "train.lr": 0.01, "train.epochs": 2.0}
    return tiny.configuration(**given, **{"loss.name": "infonce", "train.regularizer": "sigreg"})


class Slow:
    """Builds the tiny method with a buffer that every forward changes. halts: this step takes so long."""

    def __init__(self, paths: RunPaths, halts: int = 0, lasts_s: float = 20) -> None:
        self.paths, self.halts, self.lasts_s, self.left, self.forwards = paths, halts, lasts_s, threading.Event(), 0

    def __call__(self, settings: Any, context: Any) -> Any:
        method = tiny.build(settings, context)
        method.register_buffer("seen", torch.zeros(()))
        inner = method.step

        def step(batch: dict[str, Any]) -> Any:
            self.forwards += 1
            method.seen += 1
            output = inner(batch)
            output.measures["seen"] = method.seen.clone()
            if self.forwards == self.halts:
                self.paths.control.mkdir(exist_ok=True)
                self.paths.stop.write_text("{}")
                if self.left.wait(self.lasts_s):
                    raise Left
            return output

        method.step = step
        return method


def losses(folder: Path) -> dict[int, Any]:
    return journal.steps(RunPaths(folder).metrics)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    session.run(config(), RunPaths(folder), Slow(RunPaths(folder)))
    return folder


@pytest.mark.parametrize(("halts", "saved"), [(1, 0), (3, 2), (4, 3)])
def test_a_step_that_is_given_up_never_was(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, halts: int, saved: int
) -> None:
    """Step 1: nothing is saved. Step 3: the epoch before it was. Step 4: step 3 is, by what was copied at its end."""
    paths = RunPaths(tmp_path)
    slow = Slow(paths, halts)
    for name, value in {"POLL_S": 0.01, "PATIENCE_S": 0.05, "LONG_S": 0.0, "leave": slow.left.set}.items():
        monkeypatch.setattr(step_under_way, name, value)
    with pytest.raises(Left):
        session.run(config(), paths, slow)
    assert journal.events(paths.metrics)[-1] == {"event": "stopped", "step": saved, "steps": 4}
    assert [c.step for c in checkpoints.whole(paths.checkpoints)][-1:] == ([saved] if saved else [])
    paths.stop.unlink()
    session.run(config(), paths, Slow(paths))
    assert losses(tmp_path) == losses(whole)
    one, other = (RunPaths(f).model / "model.safetensors" for f in (whole, tmp_path))
    assert one.read_bytes() == other.read_bytes()


def test_a_step_whose_state_before_it_cannot_be_saved_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of step 2: step 1 was copied as it ended. It was first said that it may be given up."""
    paths = RunPaths(tmp_path)
    slow = Slow(paths, halts=2, lasts_s=0.5)
    write = checkpoints.publish

    def publish(folder: Path, step: int, manifest: dict[str, Any]) -> Path:
        if step == 1:
            raise OSError(28, "No space left on device")
        return write(folder, step, manifest)

    monkeypatch.setattr(checkpoints, "publish", publish)
    for name, value in {"POLL_S": 0.01, "PATIENCE_S": 0.1, "LONG_S": 0.0, "leave": slow.left.set}.items():
        monkeypatch.setattr(step_under_way, name, value)
    session.run(config(), paths, slow)
    told = journal.events(paths.metrics)[-4:]
    assert [(row["event"], row.get("patience"), row.get("gives_up")) for row in told] == [
        ("stopping", 0.1, False),
        ("stopping", None, True),
        ("warn", None, None),
        ("stopped", None, None),
    ]
    assert told[2]["message"].startswith("the state after step 1 cannot be saved ([Errno 28] No space left on device)")
    assert told[3]["step"] == 2 and [p.name for p in paths.checkpoints.iterdir()] == ["step-2"]


def test_a_step_after_a_short_one_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was copied as that one ended, however long this one takes."""
    paths = RunPaths(tmp_path)
    slow = Slow(paths, halts=2, lasts_s=0.2)
    for name, value in {"POLL_S": 0.01, "PATIENCE_S": 0.05, "leave": slow.left.set}.items():
        monkeypatch.setattr(step_under_way, name, value)
    session.run(config(), paths, slow)
    stopping, stopped = journal.events(paths.metrics)[-2:]
    assert (stopping["step"], stopping["saved"], stopping["gives_up"]) == (2, 0, False)
    assert stopped == {"event": "stopped", "step": 2, "steps": 4}


@pytest.mark.parametrize("saved", [0, 2])
def test_what_comes_before_the_first_step_is_given_up_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: int
) -> None:
    paths, left = RunPaths(tmp_path), threading.Event()
    if saved:
        checkpoints.open_staging(paths.checkpoints, saved)
        checkpoints.publish(paths.checkpoints, saved, {"has_state": True})
    for name, value in {"POLL_S": 0.01, "leave": left.set}.items():
        monkeypatch.setattr(step_under_way, name, value)

    def build(settings: Any, context: Any) -> Any:
        paths.stop.touch()
        assert left.wait(20), "nobody gave it up"
        raise Left

    with pytest.raises(Left):
        session.run(config(), paths, build)
    stopping, stopped = journal.events(paths.metrics)
    assert stopping == {"event": "stopping", "step": None, "seconds": None, "saved": saved, "gives_up": True,
                        "prepares": True, "patience": None}  # fmt: skip
    assert stopped == {"event": "stopped", "step": saved, "steps": None}


def test_while_another_process_still_trains_its_checkpoints_are_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks like the rest of a killed one may be in use; and what is newest is not known before that one ends."""
    paths, left = RunPaths(tmp_path), threading.Event()
    checkpoints.open_staging(paths.checkpoints, 2)
    checkpoints.publish(paths.checkpoints, 2, {"has_state": True}).rename(paths.checkpoints / ".old-2")
    paths.control.mkdir()
    paths.stop.touch()
    for name, value in {"POLL_S": 0.01, "leave": left.set}.items():
        monkeypatch.setattr(step_under_way, name, value)
    monkeypatch.setattr(session, "LOCK_WAIT_S", 0.1)
    with session._alone(paths, Silent()), pytest.raises(RunFailed, match="another process still trains"):
        session.run(config(), paths, tiny.build)
    stopping, stopped = journal.events(paths.metrics)
    assert left.is_set() and (stopping["step"], stopping["saved"], stopped["step"]) == (None, None, None)
    assert [p.name for p in paths.checkpoints.iterdir()] == [".old-2"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ((12, 41.2, 10, False, False), "step 12 is finished first, about 41 s; last save: step 10"),
        (
            (12, 4.2, 10, False, False, 10.0),
            "step 12 is finished first, about 4 s, or given up in 10 s; last save: step 10",
        ),
        ((1, None, 0, False, False), "step 1 is finished first; nothing is saved yet"),
        (
            (12, 200.0, 10, True, False),
            "step 12 is given up, about 200 s before its end; the state after step 11 is kept",
        ),
        ((1, None, 0, True, False), "step 1 is given up before its end; nothing is saved yet"),
        ((None, None, 10, False, False), "what is under way is finished first; last save: step 10"),
        ((None, None, None, True, True), "what comes before the first step is given up; what was saved is kept"),
        ((None, None, 10, True, True), "what comes before the first step is given up; last save: step 10"),
    ],
)
def test_what_happens_is_said_at_once(row: tuple[Any, ...], said: str) -> None:
    step, seconds, saved, gives_up, prepares, patience = (*row, None)[:6]
    words = {"gives_up": gives_up, "prepares": prepares, "patience": patience}
    assert stop_line(step, seconds, saved, **words) == f"stopping: {said}"
