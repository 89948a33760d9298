"""`irctl demo --rag`: its steps are commands, built of the results of those before; its table is theirs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from irctl import console, paths
from irctl.commands.demo import steps as demo_steps

VALUES = {"whole context": 0.9, "no context": 0.1, "compressed 4x": 0.5}


class Program:
    """Stands for the command line: answers every step with a payload of its kind."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = []

    def __call__(self, words: Sequence[str]) -> int:
        self.lines.append(list(words))
        if words[0] == "data":
            console.emit_json({"folders": {"entities": "/made/entities"}})
            return 0
        run = paths.runs() / f"run-{len(self.lines)}"
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
        payload: dict[str, Any] = {"run": run.name, "run_dir": str(run), "run_file": f"{run}/run.trec.gz"}
        if "--task" in words:
            by = {"part": "", "n_queries": 8}
            payload["task"] = "rag-qa"
            payload["results"] = [
                {**by, "part": p, "measure": m, "value": v} for p, v in VALUES.items() for m in ("EM", "F1")
            ]
            payload["searches"] = [
                {"part": p, "facts": {"tokens": 12.0, "kept EM": (v - 0.1) / 0.8}} for p, v in VALUES.items()
            ]
        elif "R@1" in words:
            payload["results"] = [{"measure": "R@1", "value": 0.75}]
        console.emit_json(payload)
        return 0


def run(program: Program, **more: Any) -> None:
    given = {"fresh": False, "quick": False, "rag": True, "dry_run": False, "json_": False, "debug": False, **more}
    demo_steps.run(program, **given)


def test_what_was_found_and_trained_is_what_answers(capsys: pytest.CaptureFixture[str]) -> None:
    program = Program()
    run(program)
    made, encoded, searched, measured, trained, retrieved, gold = program.lines
    assert made[:3] == ["data", "fetch", "entities"] and encoded[:3] == ["encode", "--data", "/made/entities"]
    assert searched[3:5] == ["-k", "1"]  # the model binds no value to one of several names
    found = str(paths.runs() / "run-3" / "run.trec.gz")
    assert measured[1] == found and retrieved[retrieved.index("--run") + 1] == found
    assert gold[gold.index("--run") + 1] == "/made/entities/gold.trec"
    assert trained[:3] == ["train", "--method", "acerag"]
    assert all(line[line.index("--model") + 1] == "run-5" and "--controls" in line for line in (retrieved, gold))
    told = capsys.readouterr().out
    assert "R@1 0.7500" in told and "one time in eight" in told and "50 %" in told


def test_its_table_has_both_kinds_of_passages_beside_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    run(Program(), json_=True)
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert [r["context"] for r in rows] == list(VALUES)
    assert rows[2] == {
        "context": "compressed 4x", "tokens": 12.0, "retrieved": 0.5, "retrieved kept": "50 %", "gold": 0.5,
        "gold kept": "50 %",
    }  # fmt: skip


def test_finished_it_only_asks_for_the_folder_again_and_is_remembered_apart(tmp_path: Path) -> None:
    run(Program())
    again = Program()
    run(again)
    assert [line[0] for line in again.lines] == ["data"]
    assert (paths.runs() / "demo-rag.json").is_file() and not (paths.runs() / "demo.json").exists()


def test_a_dry_run_prints_the_plan_and_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    program = Program()
    run(program, dry_run=True)
    lines = capsys.readouterr().out.splitlines()
    assert program.lines == [] and len(lines) == 7 and all(line.startswith("irctl ") for line in lines)
    assert "<entities>/gold.trec" in lines[-1]
