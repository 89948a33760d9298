"""`irctl report --figure`: what a figure leaves out is said, and an option that has no meaning in it is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from irctl.commands.report.report import report
from irctl.config import from_sets, resolve
from irctl.ledger.recording import start_run


def irctl(*argv: str) -> Result:
    app = typer.Typer()
    app.command()(report)
    return CliRunner().invoke(app, list(argv))


def train(name: str, measured: Mapping[str, float], group: str | None = None, fails: bool = False) -> str:
    """A training that measured these at its first step; its id."""
    config = resolve(from_sets([f"run.name={name}"]))
    run = start_run(command="train", argv=["irctl", "train"], config=config, seed=1, group_id=group)
    try:
        with run:
            for measure, value in measured.items():
                run.metric(measure, value, step=1, **({} if measure == "loss" else {"dataset": "c", "split": "dev"}))
            if fails:
                raise RuntimeError("it fails")
    except RuntimeError:
        pass
    return run.id


@pytest.fixture
def trainings(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Name -> run id; the last three are of one group. Figures come into the test's own folder."""
    monkeypatch.chdir(own_folders)
    return {
        "old": train("old", {"loss": 3.0}),
        "ranks": train("ranks", {"loss": 1.0, "RR@10": 0.3}),
        "whole": train("whole", {"loss": 1.0, "nDCG@10": 0.3}, "arms"),
        "broken": train("broken", {"loss": 1.0}, "arms", fails=True),
        "silent": train("silent", {}, "arms"),
    }


def names(*argv: str) -> list[str]:
    result = irctl("--figure", "curves", "--json", "-o", "figures", *argv)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["left_out"]


def test_curves_name_the_trainings_that_they_do_not_show_and_why(trainings: dict[str, str]) -> None:
    assert names() == [
        "curves: left out, nothing measured at a step: silent seed 1",
        f"curves: left out, of the same group: failed {trainings['broken']}",
        "curves: left out, for it is of the newest training and its group: 2 others (--run RUN, repeatable)",
    ]
    named = ("--run", trainings["whole"], "--run", trainings["ranks"], "--run", trainings["old"])
    assert names(*named) == [
        "curves: not in the panel of nDCG@10, which they did not measure: ranks seed 1, old seed 1",
        "curves: not in the panel of RR@10, which they did not measure: whole seed 1, old seed 1",
    ]
    assert names("--run", trainings["ranks"]) == []


def test_curves_say_it_on_stderr_beside_the_files(trainings: dict[str, str]) -> None:
    result = irctl("--figure", "curves", "-o", "figures")
    assert "left out, nothing measured at a step: silent" in result.stderr
    assert [Path(line).suffix for line in result.stdout.split()] == [".pdf", ".svg", ".png", ".csv"]


def test_curves_without_any_value_name_the_training(trainings: dict[str, str]) -> None:
    result = irctl("--figure", "curves", "--run", trainings["silent"])
    assert result.exit_code == 3 and result.stderr.count("\n") == 1
    assert "nothing measured at a step: silent seed 1" in result.stderr


def test_curves_show_the_measures_that_are_asked_for(trainings: dict[str, str]) -> None:
    both = ("--run", trainings["whole"], "--run", trainings["ranks"])
    irctl("--figure", "curves", *both, "--measures", "mrr@10", "-o", "figures")
    with Path("figures/curves.csv").open() as f:
        assert {row["measure"] for row in csv.DictReader(f)} == {"loss", "RR@10"}


@pytest.mark.parametrize(
    ("figure", "option"),
    [
        ("curves", "--baseline x"),
        ("curves", "--dataset c"),
        ("spectrum", "--measures MAP"),
        ("pareto", "--columns avg"),
    ],
)
def test_an_option_that_a_figure_does_not_read_is_refused(figure: str, option: str) -> None:
    result = irctl("--figure", figure, *option.split())
    assert result.exit_code == 2, result.output
    assert f"{option.split()[0]}: not with --figure {figure}. Drop it" in result.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--json --format csv", "--format csv: not with --json. Drop one"),
        ("--figure pareto --format csv", "--format csv: not with --figure pareto. Drop one"),
        ("--columns ,", "--columns ',': expected names, found none"),
        ("--measures ,", "--measures ',': expected names, found none"),
    ],
)
def test_options_that_say_nothing_or_two_things_are_refused(line: str, said: str, own_folders: Path) -> None:
    result = irctl(*line.split())
    assert result.exit_code == 2 and said in result.stderr, result.output


def test_a_run_that_failed_is_said_to_have_failed_and_why(trainings: dict[str, str]) -> None:
    result = irctl("--run", trainings["broken"])
    assert result.exit_code == 3 and f"run {trainings['broken']} (train) is failed: " in result.stderr


def test_so_is_a_compression_that_failed(own_folders: Path) -> None:
    run = start_run(command="compress", argv=["irctl", "compress"], config=resolve({}))
    run.finish("failed", exit_code=2, error_kind="ConfigError", error_msg="7 slices do not divide 384")
    for table in ("main", "compression"):
        result = irctl("--run", run.id, "--table", table)
        assert f"run {run.id} (compress) is failed: 7 slices do not divide 384" in result.stderr


@pytest.mark.parametrize("words", ["--format csv", "--figure pareto", "--out {}/list.txt"])
def test_what_a_checklist_does_not_write_is_refused(words: str, tmp_path: Path) -> None:
    told = irctl("--checklist", *words.format(tmp_path).split())
    assert told.exit_code == 2 and "with --checklist" in told.stderr
