"""What a training says of its duration after its first step."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_training as tiny

from irctl.paths import RunPaths
from irctl.pipelines.train.follow import Follow, time_line
from irctl.training.loop import session
from irctl.training.loop.save_and_stop import Times
from irctl.training.loop.time_left import TimeLeft
from irctl.training.run_files import journal
from irctl.types import Silent


def times(**more: Any) -> Times:
    given = {"every": 0, "minutes": 0.0, "patience": 0, "evaluates": True, "steps_an_epoch": 5, "mines_every": 0}
    return Times(**{**given, **more})


@pytest.mark.parametrize(
    ("more", "after", "last", "at"),
    [
        ({}, 0, 15, [5, 10, 15]),
        ({}, 6, 15, [10, 15]),
        ({}, 0, 13, [5, 10, 13]),  # the last step breaks off an epoch
        ({"every": 4}, 0, 10, [4, 8, 10]),
        ({"evaluates": False}, 0, 15, []),
    ],
)
def test_dev_evaluations_to_come_are_counted(more: dict[str, Any], after: int, last: int, at: list[int]) -> None:
    assert times(**more).evaluations(after, last) == len(at)
    if at:
        assert [step for step in range(after + 1, last + 1) if times(**more).is_due(step, last)] == at


@pytest.mark.parametrize(
    ("step", "evaluation_s", "seconds", "words"),
    [
        (1, 20.0, 15 * 40 + 4 * 20, "included"),  # the one before the first step is the fourth
        (6, None, 10 * 40, "not counted"),
        (11, 20.0, 5 * 40 + 20, "included"),
    ],
)
def test_the_first_step_is_timed_and_told_once(
    monkeypatch: pytest.MonkeyPatch, step: int, evaluation_s: float | None, seconds: float, words: str
) -> None:
    told: list[dict[str, Any]] = []
    left = TimeLeft(times(), lambda **row: told.append(row))
    left.evaluation_s = evaluation_s
    clock = iter([100.0, 140.0, 500.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    state = SimpleNamespace(global_step=step, max_steps=15)
    left.on_step_begin(None, state, None)
    left.on_step_end(None, state, None)
    left.on_step_begin(None, state, None)
    left.on_step_end(None, state, None)
    assert told == [{"seconds": seconds, "step": step - 1, "steps": 15, "evaluations": words}]


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ((12.4, 0, 15, "included"), "about 12 s for 15 steps, dev evaluations included"),
        ((89, 0, 1, ""), "about 89 s for 1 step"),
        ((740, 0, 15, "included"), "about 12 min for 15 steps, dev evaluations included"),
        ((430, 6, 15, "not counted"), "about 7 min for the last 9 of 15 steps, dev evaluations not counted"),
        ((7499, 0, 900, ""), "about 2 h 5 min for 900 steps"),
    ],
)
def test_the_line_names_what_it_counts(args: tuple[Any, ...], line: str) -> None:
    assert time_line(*args) == line


def test_a_training_tells_its_time_after_the_first_step_before_the_second(tmp_path) -> None:
    paths = RunPaths(tmp_path)
    values = {"batch.global": 10, "train.epochs": 2.0, "eval.during": "candidates"}
    session.run(tiny.configuration(**values), paths, tiny.build)
    rows = list(journal.Follower(paths.metrics).rows())
    (at,) = (i for i, row in enumerate(rows) if row.get("event") == "estimate")
    assert {row["step"] for row in rows[:at] if row.get("name") == "loss"} <= {1}
    assert rows[at]["seconds"] > 0 and rows[at]["steps"] == 4 and rows[at]["evaluations"] == "included"
    said = Silent()
    with Follow(SimpleNamespace(), said) as follow:
        follow(rows[at])
    (line,) = said.lines
    assert line.endswith("s for 4 steps, dev evaluations included") and line.startswith("about ")
