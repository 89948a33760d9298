"""What --dry-run says of a group's time and price: measured steps of a like run, or that nothing is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workspace import line_of

from irctl import config, profiles, recipes_index
from irctl.ledger import query
from irctl.ledger.recording import start_run
from irctl.pipelines.arms import arms, steps
from irctl.training.run_files import journal

RECIPE = """
[meta]
title = "two arms"
source = "a test"
command = "irctl train --recipe arms.toml"
seeds = [1, 2, 3]
evaluate = ["dev"]

[batch]
global = 27
micro = 9

[train]
epochs = 2

[[arms]]
name = "a"

[[arms]]
name = "b"
loss.name = "kl"
"""


PROFILE = profiles.layer("cpu", "sycl")


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    (tmp_path / "arms.toml").write_text(RECIPE)
    return str(tmp_path / "arms.toml")


def estimate(recipe: str, line: str = "", **more: object) -> dict[str, str]:
    words = ("irctl", "train", "--recipe", recipe, *line.split())
    asked = steps.Asked(recipe=recipe, line=line_of(words), read=line_of, **more)  # type: ignore[arg-type]
    own = config.resolve(PROFILE, recipes_index.layer(recipe))
    described: dict[str, str] = arms.describe(own, asked)["estimate"]
    return described


def trained(recipe: str, arm: str, *sets: str, seconds: float = 36.0) -> str:
    """A training of an arm that logged steps so many seconds apart."""
    own = config.resolve(PROFILE, recipes_index.layer(f"{recipe}:{arm}"), config.from_sets(sets))
    with start_run(command="train", argv=["irctl", "train"], config=own) as run:
        rows = (
            {"name": "loss", "value": 1.0, "step": n, "at": f"2026-11-28T13:{_clock(n * seconds)}Z"} for n in range(4)
        )
        run.paths.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run.id


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60):02}:{seconds % 60:06.3f}"


def test_steps_are_counted_and_times_are_those_of_a_run_that_trained_alike(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(recipe, "a", "encoder.query_max_len=16", seconds=1.0)  # other lengths: another time
    run = trained(recipe, "a")
    (tmp_path / "site.toml").write_text("price_per_hour = 2.5\n")
    monkeypatch.setenv("IRCTL_SITE", str(tmp_path / "site.toml"))
    said = estimate(recipe)
    # 135 queries by 27, twice
    assert said["a-seed1"] == said["a-seed3"] == f"10 steps of 36 s (run {run}): 0.10 h"
    unknown = "10 steps; time unknown, no such training in the ledger"
    assert said["b-seed1"].startswith(unknown) and said["b-seed1"].endswith("--set train.max_steps=10 measures it")
    assert said["all"].startswith("0.30 device hours, 0.30 h on 1 devices, without 3 that are unknown; 0.75 at 2.5")


def test_a_break_between_two_starts_is_no_step(recipe: str) -> None:
    """A training that was stopped for a day and went on had steps of hours."""
    run = query.find_run(trained(recipe, "a", seconds=2.0))
    clocks = [f"2026-11-{day}T13:00:0{n}Z" for day in (28, 29) for n in (0, 2, 4)]
    rows = [{"name": "loss", "value": 1.0, "step": n + 1, "at": at, "launcher": at[:10]} for n, at in enumerate(clocks)]
    run.paths.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert journal.step_seconds(run.paths.metrics) == [2.0] * 4
    assert estimate(recipe)["a-seed1"] == f"10 steps of 2 s (run {run.id}): 0.01 h"
    # half a line, and a step that was trained again
    with run.paths.metrics.open("a") as f:
        f.write(json.dumps({**rows[2], "launcher": rows[-1]["launcher"]}) + '\n{"name": "lo')
    assert journal.step_seconds(run.paths.metrics) == [2.0] * 4


def test_devices_share_the_trainings_and_without_a_site_there_is_no_price(recipe: str) -> None:
    trained(recipe, "a"), trained(recipe, "b")
    said = estimate(recipe, "--devices 0-3", devices=(0, 1, 2, 3))
    assert said["all"].startswith("0.60 device hours, 0.20 h on 4 devices; no price")


def test_data_that_are_not_here_leave_the_steps_unknown(recipe: str, tmp_path: Path) -> None:
    (tmp_path / "arms.toml").write_text(RECIPE + '[data]\nsource = "msmarco"\n')
    said = estimate(recipe)
    assert said["a-seed1"].startswith("steps unknown (msmarco: not on this machine") and said["all"].startswith(
        "unknown"
    )
