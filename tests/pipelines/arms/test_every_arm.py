"""`irctl eval --model latest:GROUP`: by what each arm of a group that was started is evaluated, what is left out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from workspace import Workspace, line_of

from irctl.config import from_sets, resolve
from irctl.errors import DataError, PartlyDone
from irctl.ledger.query import RunRecord, find_run
from irctl.ledger.recording import start_run
from irctl.pipelines.arms import chains as arms_chains
from irctl.pipelines.arms import every_arm, members
from irctl.pipelines.arms.chains import RUN, Chain, DoneLines
from irctl.types import Silent

RECIPE = """
[meta]
title = "arms"
source = "a test"
command = "irctl train --recipe arms.toml"

[[arms]]
name = "trained"

[[arms]]
name = "other"
"""
HERE = ("--data", "cranfield", "--split", "dev+test")


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    (tmp_path / "arms.toml").write_text(RECIPE)
    return str(tmp_path / "arms.toml")


def done(command: str, *sets: str, **columns: str) -> str:
    run = start_run(command=command, argv=["irctl", command], config=resolve(from_sets(sets)), **columns)
    with run:
        pass
    return run.id


def group(recipe: str, chains: list[Chain], runs: dict[tuple[str, ...], str]) -> RunRecord:
    """A group of these chains of which these lines are done."""
    handle = start_run(command="arms", argv=["irctl", "train", "--recipe", recipe], config=resolve())
    with handle:
        members.keep_plan(handle.out, chains)
        memory = DoneLines(handle.out / members.DONE, handle.paths.folder.parent)
        for words, run in runs.items():
            memory.keep(words, run)
    return find_run(handle.id)


def lines(of: RunRecord, line: str) -> tuple[dict[str, str], dict[str, str]]:
    chains, left_out = every_arm.plan(of, line_of(line), line_of)
    return {c.name: " ".join(c.lines[0]) for c in chains}, left_out


def test_every_arm_is_evaluated_as_in_the_group_on_the_data_that_were_asked_for(recipe: str) -> None:
    train, model, vectors = (
        ("train", "--seed", "0"),
        done("train"),
        done("encode", "encoder.query_max_len=9", model="some/base"),
    )
    encode = Chain("dense", (("encode",), ("eval", "--index", RUN, *HERE)))
    white = ("eval", "--index", "{dense}", *HERE, "--set", "transform.name=soft_whiten", "--measures", "P@1")
    codes, packed = Chain("codes", (("compress",), ("eval", "--index", RUN))), done("compress")
    chains = [
        Chain("untouched", (("eval", "--model", "some/base", *HERE),)),
        Chain("a-seed0", (train, ("eval", "--model", RUN, *HERE), ("eval", "--model", RUN, "--set", "search.k=9"))),
        Chain("a-seed1", (("train", "--seed", "1"), ("eval", "--model", RUN, *HERE))),
        Chain("white", (white,), after={"dense": encode}),
        encode,
        codes,
        Chain("front", (("eval", "--index", "{dense}", "--transforms", "front", *HERE),), after={"dense": encode}),
    ]
    of = group(recipe, chains, {train: model, ("encode",): vectors, ("compress",): packed})
    for name in (of.id, recipe, f"latest:{recipe}"):
        found = members.find_group(name)
        assert found is not None and found.id == of.id
    made, left_out = lines(of, f"eval --model latest:{recipe} --data beir-14 --set search.k=100 --json --devices 0,1")
    asked = "--set search.k=100 --data beir-14"
    assert {name: sorted(line.split()) for name, line in made.items()} == {
        name: sorted(f"eval {line} {asked}".split())
        for name, line in {
            "untouched": "--model some/base",
            "a-seed0": f"--model {model}",
            "white": "--model some/base --set transform.name=soft_whiten --set encoder.query_max_len=9",
            "dense": "--model some/base --set encoder.query_max_len=9",
        }.items()
    }
    assert sorted(left_out) == ["a-seed1", "codes", "front"] and "of one corpus" in left_out["codes"]
    assert "not trained yet" in left_out["a-seed1"] and "train --seed 1" in left_out["a-seed1"]


def test_what_is_no_group_keeps_its_meaning(recipe: str) -> None:
    for name in ("latest", "latest:sycl", "sentence-transformers/all-MiniLM-L6-v2", "latest:sycl-compare", recipe):
        assert members.find_group(name) is None
    assert members.find_group(done("train")) is None
    with pytest.raises(DataError, match="no arm to evaluate: a: not trained yet"):
        lines(group(recipe, [Chain("a", (("train",), ("eval", "--model", RUN)))], {}), "eval --model x")


def test_an_evaluation_that_left_sets_out_counts_in_the_table_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child.py"
    child.write_text('import sys; print(\'{"run": "R"}\'); print(\'{"message": "4 left out"}\'); sys.exit(5)')
    monkeypatch.setattr(arms_chains, "COMMAND", (sys.executable, str(child)))
    memory, chain = DoneLines(tmp_path / "done.jsonl", tmp_path), Chain("a", (("eval", "--model", "m"),))
    arms_chains.Pool(memory, tmp_path / "logs", [{}]).run([chain], Silent())
    assert (chain.runs, chain.error, chain.partly) == (["R"], "", "4 left out")
    assert memory.recall(chain.lines[0]) is None
    with pytest.raises(PartlyDone, match="1 of 1 runs partly done, such as a: 4 left out"):
        every_arm.tell_failed([chain], [], Silent())


def test_the_command_says_what_it_would_evaluate(place: Workspace) -> None:
    (place.folder / "arms.toml").write_text(RECIPE)
    recipe, train = str(place.folder / "arms.toml"), ("train",)
    group(recipe, [Chain("a", (train, ("eval", "--model", RUN, *HERE)))], {train: done("train")})
    said = place.ok(f"eval --model latest:{recipe} --data scifact --dry-run --json").json["plan"]
    assert [line.split()[-2:] for line in said["lines"]] == [["--data", "scifact"]]
