"""Runs that a listing shows alike say in what their command lines differ."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from irctl.cli import app
from irctl.commands.runs import differing
from irctl.ledger.query import RunRecord
from irctl.ledger.recording import start_run


def run(line: str, **columns: Any) -> RunRecord:
    known = {"command": "eval", "dataset_fingerprint": "d", "model_fingerprint": "m", **columns}
    return RunRecord(line, Path(), {"argv_json": str(shlex.split(f"irctl {line}")).replace("'", '"'), **known})


def find(*runs: RunRecord) -> list[str]:
    return differing.find(runs, ["alike"] * len(runs))


def test_settings_depths_folders_and_owners_tell_runs_apart() -> None:
    assert find(
        run("eval --data data/v1/mine --model x1/enc --set encoder.query_max_len=6 --json"),
        run("eval --data data/v1/mine --model x2/enc --set encoder.passage_max_len=16 --set run.seed=1"),
        run("eval --data data/v2/mine --model=x2/enc --k 10 --overwrite"),
        run("eval --data data/v1/mine --model x1/enc"),
    ) == [
        "data=v1/mine model=x1/enc query_max_len=6",
        "data=v1/mine model=x2/enc passage_max_len=16",
        "data=v2/mine model=x2/enc k=10 overwrite",
        "data=v1/mine model=x1/enc",
    ]  # fmt: skip
    assert find(run("eval --model nope/enc"), run("eval --model other/enc")) == ["model=nope/enc", "model=other/enc"]
    assert find(run("eval a/run.trec"), run("eval b/run.trec")) == ["a/run.trec", "b/run.trec"]


def test_settings_of_one_last_word_are_told_whole() -> None:
    (one, two) = find(run("eval --set a.batch=1 --set b.batch=1"), run("eval --set a.batch=2 --set b.batch=2"))
    assert (one, two) == ("a.batch=1 b.batch=1", "a.batch=2 b.batch=2")


def test_what_says_the_same_of_other_content_is_told_by_the_content() -> None:
    told = find(run("eval --data mine", dataset_fingerprint="0123456789"), run("eval --data mine"))
    assert told == ["data [01234567]", "data [d]"]
    trainings = [run("train --data mine", command="train", model_fingerprint=made) for made in "ab"]
    assert find(*trainings) == ["", ""]  # it is what they made
    grown = [run("train --data mine", command="train", dataset_fingerprint=f"a{n}") for n in (1, 2)]
    assert find(*grown) == ["data [a1]", "data [a2]"]


def test_a_flag_takes_no_word_and_a_short_name_is_the_long_one() -> None:
    for flag in ("--json", "--quiet", "-q", "--"):
        assert find(run(f"eval {flag} a.trec"), run(f"eval {flag} b.trec")) == ["a.trec", "b.trec"], flag
    assert find(run("eval --overwrite a.trec"), run("eval a.trec")) == ["overwrite", ""]
    assert find(run("eval -k 5"), run("eval --k 5")) == find(run("eval -k5"), run("eval --k=5")) == ["", ""]
    assert find(run("eval -k 5"), run("eval -k 10")) == ["k=5", "k=10"]


def test_flags_and_short_names_are_those_of_the_commands() -> None:
    flags, short, valued = set(), {}, set()
    for option in options(typer.main.get_command(app)):
        long = [name for name in option.opts if name.startswith("--")]
        (flags if option.is_flag else valued).update(long, option.secondary_opts)
        short |= {name: long[0] for name in option.opts if not name.startswith("--")}
    assert flags - {"--help"} == differing.FLAGS and not flags & valued
    assert short == differing.SHORT


def options(command: Any) -> Iterator[Any]:
    """Those of every command below this one."""
    for inner in getattr(command, "commands", {}).values():
        yield from options(inner)
    if not hasattr(command, "commands"):
        yield from (p for p in command.params if p.param_type_name == "option")


def test_a_run_that_is_shown_like_no_other_or_says_the_same_has_nothing_to_tell() -> None:
    same = run("eval --k 10 --out a"), run("eval --k 10 --out b --seed 2")
    assert find(*same) == ["", ""]
    assert differing.find([run("eval --k 10"), run("eval")], ["one", "other"]) == ["", ""]
    many = " ".join(f"--set a.o{i}=1" for i in range(6))
    assert find(run(f"eval {many}"), run("eval")) == ["o0=1 o1=1 o2=1 o3=1 and 2 more", ""]


def test_the_listing_has_a_column_of_it() -> None:
    for depth in ("10", "100"):
        start_run(command="eval", argv=["irctl", "eval", "--k", depth], config=None, dataset="mine").finish("completed")
    listed = CliRunner().invoke(app, ["runs", "ls"], prog_name="irctl").stdout
    assert "differs in" in listed and "k=10 " in listed and "k=100 " in listed
    text = CliRunner().invoke(app, ["runs", "ls", "--format", "csv"], prog_name="irctl").stdout
    assert [row["differs"] for row in csv.DictReader(io.StringIO(text))] == ["k=100", "k=10"]
