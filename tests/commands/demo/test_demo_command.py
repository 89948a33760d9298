"""`irctl demo`: interrupted and typed again it goes on where it was; its steps are commands that anyone can type."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

from irctl import console, paths
from irctl.commands.demo import steps as demo_steps
from irctl.pipelines import demo


class Program:
    """Stands for the command line: answers every step with a payload, and breaks where it is told to."""

    def __init__(self, breaks_at: int = 0, code: int = 130) -> None:
        self.lines: list[list[str]] = []
        self.breaks_at, self.code = breaks_at, code

    def __call__(self, words: Sequence[str]) -> int:
        self.lines.append(list(words))
        if words[0] == "report":
            return 0
        if len(self.lines) == self.breaks_at:
            return self.code
        run = paths.runs() / f"run-{len(list(paths.runs().glob('run-*')))}"
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
        names = ("run_file", "negatives_file", "folder")
        payload = {"run": run.name, "run_dir": str(run), **{n: f"{run}/{n}" for n in names}}
        console.emit_json({**payload, "results": [{"measure": "nDCG@10", "value": 0.5}]})
        return 0

    @property
    def steps(self) -> list[list[str]]:
        return [line for line in self.lines if line[0] != "report"]


def run(program: Program, **more: Any) -> None:
    given = {"fresh": False, "quick": True, "dry_run": False, "json_": True, "debug": False, **more}
    demo_steps.run(program, **given)


@pytest.fixture
def whole() -> list[list[str]]:
    """The command lines of an undisturbed demo."""
    program = Program()
    run(program)
    return program.steps


@pytest.mark.parametrize("stopped_at", [1, 4, 9])
def test_an_interrupted_demo_continues_with_the_step_it_was_in(
    stopped_at: int, whole: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path / "second"))
    first, second = Program(stopped_at), Program()
    with pytest.raises(typer.Exit) as raised:
        run(first)
    assert raised.value.exit_code == 130
    run(second)
    words = [line[0] for line in whole]
    assert [line[0] for line in first.steps] == words[:stopped_at]
    assert [line[0] for line in second.steps] == words[stopped_at - 1 :]


def test_a_finished_demo_only_reports_and_fresh_does_it_all_again(whole: list[list[str]]) -> None:
    again, fresh = Program(), Program()
    run(again)
    assert again.steps == [] and again.lines[0][0] == "report"
    (figure,) = [line for line in again.lines if "--figure" in line]
    assert "--baseline" not in figure  # which no figure but delta reads
    run(fresh, fresh=True)
    assert len(fresh.steps) == len(whole)


def test_a_step_whose_run_folder_has_gone_is_done_again(whole: list[list[str]]) -> None:
    (paths.runs() / "run-1" / "run.json").unlink()  # an evaluation: nothing is built on it
    again = Program()
    run(again)
    assert [line[0] for line in again.steps] == [whole[1][0]]


def test_the_exit_code_of_a_failed_step_is_the_demos(tmp_path: Path) -> None:
    with pytest.raises(typer.Exit) as raised:
        run(Program(2, code=4))
    assert raised.value.exit_code == 4


def test_a_memory_that_cannot_be_read_names_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    paths.runs().mkdir()
    (paths.runs() / "demo-quick.json").write_text("{")
    with pytest.raises(typer.Exit) as raised:
        run(Program())
    assert raised.value.exit_code == 3 and "irctl demo --fresh starts over" in capsys.readouterr().err


def test_a_dry_run_prints_the_commands_and_runs_none(capsys: pytest.CaptureFixture[str]) -> None:
    program = Program()
    run(program, dry_run=True, json_=False)
    lines = capsys.readouterr().out.splitlines()
    assert program.lines == [] and len(lines) > 20 and all(line.startswith("irctl ") for line in lines)
    assert sum("irctl compress" in line for line in lines) == len(demo.CODES)


def test_the_codes_of_opq_are_trained_and_searched_too(whole: list[list[str]]) -> None:
    (at,) = [i for i, line in enumerate(whole) if "jpq-distill" in line]
    compressed, _, trained, searched = whole[at - 2 : at + 2]
    assert compressed[:3] == ["compress", "--method", "opq"]
    assert trained[:5] == ["train", "--recipe", "jpq-distill", "--model", demo.MODEL] and "--tiny" in trained
    assert trained[5:7] == ["--index", f"run-{at - 2}"]
    assert searched[:5] == ["eval", "--model", demo.MODEL, "--index", f"run-{at}"]
