"""Arms that list command lines: what they expand to, what waits for what, and what is refused before anything runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toy_collections import two_splits
from workspace import Workspace, line_of

from irctl import config, recipes_index
from irctl.errors import ConfigError, PartlyDone
from irctl.ledger.recording import start_run
from irctl.origins import Kind, Origin
from irctl.pipelines.arms import arms
from irctl.pipelines.arms import chains as arms_chains
from irctl.pipelines.arms.arm_settings import settings_of
from irctl.pipelines.arms.steps import Asked, left_out, plan
from irctl.types import Silent

META = '[meta]\ntitle = "t"\nsource = "s"\ncommand = "irctl recipes run codes.toml"\nseeds = [1, 2]\n'
TABLES = "[compress]\nbatch = 100\n\n[tiny.compress]\nbatch = 10\n"
VECTORS = '[[arms]]\nname = "vectors"\nseeds = []\nsteps = ["encode"]\n'
PQ = """[[arms]]
name = "pq"
after = "vectors"
steps = ["compress --method pq --data {vectors}", "eval --index {run} --split test", "eval --model x --seed {seed}"]
"""
TUNED = '[[arms]]\nname = "tuned"\nsteps = ["train --recipe cranfield-ws2 --data {pq}", "encode --model {run}"]\n'

# Stands for irctl: notes its words, fails for the words in the file `fail`, answers like `--json`.
FAKE = """
import json, os, sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
here, words = Path(os.environ["FAKE_FOLDER"]), sys.argv[1:]
with (here / "calls.jsonl").open("a") as f:
    f.write(json.dumps(words) + chr(10))
fail = (here / "fail").read_text().split() if (here / "fail").is_file() else []
if set(fail) & set(words):
    print(json.dumps({"schema": "irctl/error/1", "message": "no space", "hint": ""}))
    sys.exit(1)
run = f"20260801-120000000-00{len((here / 'calls.jsonl').read_text().splitlines()):02}"
folder = Path(os.environ["IRCTL_RUNS"]) / run
folder.mkdir(parents=True)
record = {"id": run, "command": words[0], "status": "completed", "created_at": "2026-08-01T12:00:00Z"}
if words[0] == "encode":
    record["artifacts"] = [{"role": "out", "kind": "embeddings", "path": "x", "n_rows": 20000, "dim": 768}]
(folder / "run.json").write_text(json.dumps(record))
print(json.dumps({"run": run}))
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fake.py").write_text(FAKE)
    monkeypatch.setattr(arms_chains, "COMMAND", (sys.executable, str(tmp_path / "fake.py")))
    monkeypatch.setenv("FAKE_FOLDER", str(tmp_path))
    return tmp_path / "codes.toml"


def write(file: Path, *arms_of_it: str, meta: str = META) -> None:
    file.write_text("\n".join((meta, TABLES, *arms_of_it)))


def asked(file: Path, line: str = "", **more: object) -> Asked:
    return Asked(recipe=str(file), line=line_of(f"recipes run {file} {line}"), read=line_of, **more)  # type: ignore[arg-type]


def settings(file: Path) -> config.Config:
    return config.resolve(recipes_index.layer(str(file)))


def lines(file: Path, line: str = "", **more: object) -> dict[str, list[str]]:
    made = plan(settings(file), asked(file, line, **more))
    return {c.name: [" ".join(words).replace(str(file), "R") for words in c.lines] for c in made}


def calls(file: Path) -> list[str]:
    text = (file.parent / "calls.jsonl").read_text()
    return [" ".join(json.loads(line)).replace(str(file), "R") for line in text.splitlines()]


def test_steps_get_the_recipe_and_the_seed_and_those_that_measure_do_not(file: Path) -> None:
    write(file, VECTORS, PQ)
    assert lines(file) == {
        "vectors": ["encode --recipe R:vectors"],
        **{
            f"pq-seed{n}": [
                f"compress --method pq --data {{vectors}} --recipe R:pq --seed {n}",
                "eval --index {run} --split test",
                f"eval --model x --seed {n}",
            ]
            for n in (1, 2)
        },
    }


def test_a_step_with_a_recipe_of_its_own_keeps_it_and_takes_its_overlay(file: Path) -> None:
    write(file, VECTORS, PQ, TUNED)
    made = lines(file, "--tiny", tiny=True)
    assert made["tuned-seed1"] == [
        "train --recipe cranfield-ws2 --data {pq} --tiny --seed 1",
        "encode --model {run} --recipe R:tuned --tiny --seed 1",
    ]


def test_settings_and_data_reach_every_step_that_takes_them_and_names_no_data(file: Path) -> None:
    write(file, VECTORS, PQ)
    made = lines(file, "--data scifact --set pq.m=8 --set search.k=7 --profile t4 --json --devices 0", seeds="5")
    given = "--data scifact --set pq.m=8 --set search.k=7 --profile t4"
    assert made["vectors"] == [f"encode --recipe R:vectors {given}"]
    compress, evaluate, _ = made["pq-seed5"]
    assert compress == (
        "compress --method pq --data {vectors} --recipe R:pq --set pq.m=8 --set search.k=7 --profile t4 --seed 5"
    )
    assert evaluate == "eval --index {run} --split test --data scifact --set search.k=7 --profile t4"


def test_a_step_that_measures_gets_the_collection_of_the_recipe(file: Path) -> None:
    write(file, VECTORS, PQ, meta=META + '[data]\nsource = "scifact"\n')
    made = lines(file, "")
    assert made["vectors"] == ["encode --recipe R:vectors"]
    assert made["pq-seed1"][1] == "eval --index {run} --split test --data scifact"
    assert lines(file, "--data cranfield")["pq-seed1"][1] == "eval --index {run} --split test --data cranfield"


def test_tiny_takes_the_arms_that_its_own_wait_for_too(file: Path) -> None:
    write(file, VECTORS, PQ, PQ.replace('"pq"', '"other"'), meta=META + 'tiny_arms = ["pq"]\ntiny_seeds = [3]\n')
    assert list(lines(file, "--tiny", tiny=True)) == ["vectors", "pq-seed3"]


def test_seeds_that_are_asked_for_outrank_those_of_an_arm_and_of_the_group(file: Path) -> None:
    write(file, VECTORS, PQ.replace("after", "seeds = [5, 6]\nafter"), meta=META + "tiny_seeds = [3]\n")
    assert list(lines(file, "")) == ["vectors", "pq-seed5", "pq-seed6"]
    assert list(lines(file, "", seeds="8,9")) == ["vectors", "pq-seed8", "pq-seed9"]
    assert list(lines(file, "--tiny", tiny=True)) == ["vectors", "pq-seed3"]


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        (VECTORS.replace('"vectors"', '"a/b"'), "without colon and slash"),
        (PQ, r"\[pq\]: no arm named 'vectors'"),
        (VECTORS + PQ.replace("{vectors}", "{vector}"), r"\[pq\]: no arm named 'vector'.*Did you mean 'vectors'"),
        (VECTORS + PQ + VECTORS.replace('"vectors"', '"a"\nafter = ["a"]'), "arms wait for each other: a after a"),
        (
            VECTORS.replace("encode", "encod"),
            r"encod: irctl encod: no such command. Did you mean 'encode'",
        ),
        (VECTORS.replace("encode", "encode --modl x"), r"\[vectors\]: encode --modl x: irctl encode: no option --modl"),
        (VECTORS.replace("encode", "encode --dry-run"), "how a step runs is said for the group"),
        (
            VECTORS.replace("encode", "eval --index {run}"),
            r"eval --index \{run\}: no step before it makes what",
        ),
        (VECTORS + PQ.replace("compress --method pq --data", "eval --model x --index"), "no step before it makes what"),
        (VECTORS.replace("[]", '["a"]'), r"seeds\[0\]: expected a whole number"),
        (VECTORS.replace("[]", "[7]") + PQ.replace("after", "seeds = [1]\nafter"), None),
        (VECTORS.replace("[]", "[7, 8]") + PQ, r"\[pq\]: after vectors: has the seeds 7, 8, and not 1"),
    ],
)
def test_what_cannot_run_is_one_line_before_anything_does(arm: str, said: str | None, file: Path) -> None:
    write(file, arm)
    if said is None:
        assert lines(file)
        return
    with pytest.raises(ConfigError, match=said) as error:
        lines(file)
    assert "\n" not in str(error.value)


def run_group(file: Path, resume: Path | None = None) -> tuple[dict[str, object], Path]:
    run = start_run(command="arms", argv=["irctl", "train"], config=settings(file), resume=resume)
    folder = run.paths.folder
    try:
        with run:
            return arms.run_group(settings(file), run, Silent(), asked(file)), folder
    except PartlyDone as e:
        return {"error": str(e)}, folder


def test_a_later_arm_gets_the_run_of_the_last_step_that_does_more_than_measure(file: Path) -> None:
    report = META.replace("[1, 2]", "[1]") + "report = []\n"
    write(file, VECTORS, PQ, TUNED, meta=report)
    payload, _ = run_group(file)
    ids = [f"20260801-120000000-00{n:02}" for n in range(1, 7)]
    assert [c.split(" --")[:2] for c in calls(file)][1:2] == [["compress", "method pq"]]
    assert f"--data {ids[0]} " in calls(file)[1] and f"--index {ids[1]} " in calls(file)[2]
    assert f"--data {ids[1]} " in calls(file)[4] and f"--model {ids[4]} " in calls(file)[5]
    assert payload["runs"] == [
        {"name": "vectors", "encode": ids[0], "evals": []},
        {"name": "pq-seed1", "compress": ids[1], "evals": ids[2:4]},
        {"name": "tuned-seed1", "encode": ids[5], "evals": []},
    ]


def test_the_payload_names_the_evaluations_of_an_arm_that_only_measures(file: Path) -> None:
    only = '[[arms]]\nname = "front"\nseeds = []\nsteps = ["eval --index {vectors} --split test"]\n'
    write(file, VECTORS, only, meta=META + "report = []\n")
    payload, _ = run_group(file)
    assert payload["runs"][1] == {"name": "front", "evals": ["20260801-120000000-0002"]}  # type: ignore[index]


def test_arms_behind_a_failed_one_have_failed_for_it_and_run_when_it_is_tried_again(file: Path) -> None:
    write(file, VECTORS, PQ.replace(', "eval --model x --seed {seed}"', ""), TUNED, meta=META + "report = []\n")
    (file.parent / "fail").write_text("2")
    payload, folder = run_group(file)
    assert "2 of 5 runs failed, such as pq-seed2: no space" in str(payload["error"])
    before = len(calls(file))
    assert not any("tuned" in c and "--seed 2" in c for c in calls(file))
    (file.parent / "fail").unlink()
    payload, _ = run_group(file, folder)
    assert [c["name"] for c in payload["runs"]] == ["vectors", "pq-seed1", "pq-seed2", "tuned-seed1", "tuned-seed2"]  # type: ignore[attr-defined]
    assert len(calls(file)) == before + 4 and all("--seed 2" in c or "eval" in c for c in calls(file)[before:])


def test_recipes_check_and_a_dry_run_refuse_settings_of_a_step(file: Path, place: Workspace) -> None:
    write(file, VECTORS, PQ)
    assert place.ok(f"recipes check {file}").out == "1 recipes checked, no problems\n"
    shown = place.ok(f"recipes run {file} --seeds 4 --dry-run --json").json["plan"]
    assert shown["command lines"] == "4, one after another" and shown["after"] == {"pq-seed4": "vectors"}
    assert f"irctl compress --method pq --data {{vectors}} --recipe {file}:pq --seed 4" in shown["lines"]
    assert place.ok(f"train --recipe {file} --seeds 4 --dry-run --json").json["plan"] == shown
    write(file, VECTORS, PQ.replace("--method pq", "--method pq --set pq.bits=99"))
    for line in (f"recipes check {file}", f"recipes run {file} --dry-run", f"recipes run {file}"):
        done = place.run(line)
        assert done.code == 2 and "pq.bits" in done.err and "irctl compress --method pq" in done.err, done.err
        assert len(done.err.strip().splitlines()) == 1


def test_a_recipe_without_arms_runs_the_command_that_it_names(place: Workspace) -> None:
    done = place.ok("recipes run stream-pq --tiny --set pq.m=8 --dry-run --json")
    assert done.err == "$ irctl compress --recipe stream-pq --tiny --set pq.m=8 --dry-run --json\n"
    assert done.json["schema"] == "irctl/dry-run/1" and done.json["config"]["pq.m"]["value"] == 8
    assert "lr" in place.ok("recipes run cranfield-ws2 --tiny --dry-run").out
    seeds = place.ok("recipes run stream-pq --tiny --seeds 1,2 --dry-run --json").json["plan"]["lines"]
    assert seeds == [f"irctl compress --recipe stream-pq --tiny --seed {n}" for n in (1, 2)]
    assert place.run("recipes run stream-pk").err.startswith("error: no recipe named 'stream-pk'")


SIZED = """[[arms]]
name = "pq-{each}"
each = [32, 16]
steps = ["compress --method pq --data {vectors} --set pq.m={vectors.m/{each}} --set pq.bits={vectors.bits}"]
"""


def test_an_arm_with_each_is_there_once_for_each_of_its_values(file: Path, place: Workspace) -> None:
    write(file, VECTORS, SIZED)
    assert place.ok(f"recipes check {file}").out == "1 recipes checked, no problems\n"
    made = lines(file, "", seeds="1")
    sets = "--set pq.m={vectors.m/16} --set pq.bits={vectors.bits}"
    assert list(made) == ["vectors", "pq-32-seed1", "pq-16-seed1"]
    assert made["pq-16-seed1"] == [f"compress --method pq --data {{vectors}} {sets} --recipe R:pq-16 --seed 1"]
    assert [c.each for c in plan(settings(file), asked(file, "", seeds="1"))] == [None, 32, 16]
    late = VECTORS.replace('"vectors"', '"late"').replace('"encode"', '"encode --set pq.bits={pq-16.bits}"')
    with pytest.raises(ConfigError, match=r"\{pq-16.bits\}: expected an arm that begins with `encode`, found pq-16"):
        write(file, VECTORS, SIZED, late)
        lines(file, seeds="1")


def test_an_option_that_no_step_takes_is_refused_and_the_model_reaches_the_encoding(file: Path) -> None:
    write(file, VECTORS, PQ)
    line = line_of(f"train --recipe {file} --model m --data scifact")
    made = plan(settings(file), Asked(recipe=str(file), line=line, read=line_of, seeds="1"))
    assert " ".join(made[0].lines[0]).endswith("--model m --data scifact")
    for words in ("--lr 1e-3", "--method jpq", "--split dev"):
        line = line_of(f"train --recipe {file} {words}")
        with pytest.raises(ConfigError, match=f"{words.split()[0]}: no step of .* takes it"):
            plan(settings(file), Asked(recipe=str(file), line=line, read=line_of))


def test_the_splits_that_are_held_out_stand_in_the_steps(file: Path) -> None:
    write(
        file,
        PQ.replace('after = "vectors"', "").replace("{vectors}", "x").replace("--split test", "--split {held_out}"),
    )
    assert lines(file, "", seeds="1")["pq-seed1"][1] == "eval --index {run} --split dev+test"
    write(file, PQ.replace('after = "vectors"', "").replace("{vectors}", "x").replace("test", "{each_split}"))
    assert lines(file, "", seeds="1")["pq-seed1"][1] == "eval --index {run} --split dev,test"


def test_tracks_of_ms_marco_are_measured_one_by_one_beside_dev(tmp_path: Path) -> None:
    from irctl.config import from_sets, resolve
    from irctl.pipelines.arms import held_out

    (tmp_path / "collection.tsv").write_text("0\tlift\n")
    for name in ("qrels.train.tsv", "qrels.dev.small.tsv", "qrels.dev.tsv", "2019qrels-pass.txt", "2020qrels-pass.txt"):
        (tmp_path / name).write_text("1 0 0 1\n")
    config = resolve(from_sets([f"data.source={tmp_path}"]))
    assert held_out.fill("eval --split {each_split}", config) == "eval --split dev,trec19,trec20"


def test_sizes_are_filled_in_once_the_vectors_are_there(file: Path) -> None:
    write(file, VECTORS, SIZED, meta=META.replace("[1, 2]", "[1]") + "report = []\n")
    run_group(file)
    sets = [c.partition("--recipe")[0].split("--set ")[1:] for c in calls(file)[1:]]
    assert sets == [["pq.m=24 ", "pq.bits=8 "], ["pq.m=48 ", "pq.bits=8 "]]


def test_an_arm_that_trains_on_judgements_is_left_out_where_there_are_none(file: Path, tmp_path: Path) -> None:
    judged = 'judged = true\nsteps = ["train --loss infonce --index {vectors}"]\n'
    write(file, VECTORS, f'[[arms]]\nname = "labels"\n{judged}', meta=META.replace("[1, 2]", "[1]") + "report = []\n")
    assert list(lines(file)) == ["vectors", "labels-seed1"]
    folder = two_splits(tmp_path / "untrained")  # dev and test
    own = config.resolve(recipes_index.layer(str(file)), config.from_sets([f"data.source={folder}"]))
    made = plan(own, asked(file, f"--data {folder}"))
    assert [c.name for c in made] == ["vectors"]
    assert left_out(own, asked(file)) == {"labels": "untrained has no judged queries of split train"}
    assert arms.describe(own, asked(file))["left out"] == left_out(own, asked(file))


GRID = """[[arms]]
name = "vectors-{of}"
over.of = ["none", "whiten"]
seeds = []
transform.name = "{of}"
steps = ["encode"]

[[arms]]
name = "vectors-trained"
seeds = []
steps = ["encode --model {trained}"]

[[arms]]
name = "pq-{of}-{each}"
over.of = ["none", "whiten", "trained"]
each = [32, 16]
steps = ["compress --method pq --data {vectors-{of}} --set pq.m={vectors-{of}.m/{each}}", "eval --index {run}"]
"""


def test_an_arm_is_there_once_for_each_word_of_over_which_stands_in_its_name_settings_and_steps(file: Path) -> None:
    write(file, GRID)
    made = lines(file, "", seeds="1")
    grid = [f"pq-{of}-{each}-seed1" for each in (32, 16) for of in ("none", "whiten")]
    assert list(made) == ["vectors-none", "vectors-whiten", *grid]
    assert made["pq-whiten-16-seed1"][0].startswith(
        "compress --method pq --data {vectors-whiten} --set pq.m={vectors-whiten.m/16}"
    )
    assert recipes_index.arms(str(file))["vectors-whiten"]["transform"] == {"name": "whiten"}
    write(file, GRID.replace('over.of = ["none", "whiten"]', "over.of = [1]"))
    with pytest.raises(ConfigError, match=r"\[vectors-\{of\}\]: over"):
        lines(file)


def test_arms_of_a_trained_model_need_its_name_and_what_waits_for_them_is_left_out_too(file: Path) -> None:
    write(file, GRID)
    gone = left_out(settings(file), asked(file))
    assert list(gone) == ["vectors-trained", "pq-trained-32", "pq-trained-16"]
    assert set(gone.values()) == {"no trained model; name one with --trained MODEL"}
    assert list(arms.describe(settings(file), asked(file))["left out"]) == [", ".join(gone)]
    made = lines(file, "--trained 'my models/best'", seeds="1")
    assert made["vectors-trained"] == ["encode --model my models/best --recipe R:vectors-trained"]
    assert "pq-trained-16-seed1" in made and left_out(settings(file), asked(file, "--trained x")) == {}
    write(file, VECTORS)
    with pytest.raises(ConfigError, match=r"--trained x: no arm of .* reads it"):
        lines(file, "--trained x")


def test_a_dry_run_without_the_collection_prints_the_plan_and_says_what_is_missing(place: Workspace) -> None:
    plan = place.ok("recipes run repconc --dry-run --json").json["plan"]
    assert plan["missing"] == "msmarco: not on this machine. irctl data fetch msmarco"
    assert "irctl eval --index {run} --split dev,test --export repconc --data msmarco" in plan["lines"]
    refused = place.run("recipes run repconc")
    assert refused.code == 3 and "msmarco: not on this machine" in refused.err


def test_a_file_of_settings_stands_above_the_arms_of_a_group() -> None:
    """Its steps get --config too, so that the plan and they say the same."""
    file, recipe = Origin(Kind.FILE, "own.toml", line=2), Origin(Kind.RECIPE, "isotropy-paper.toml")
    asked: Any = SimpleNamespace(recipe="isotropy-paper", tiny=True, profile="cpu")
    group = config.resolve({"train.projection_lr": (3e-3, file), "train.base_lr": (3e-6, recipe)})
    arm = settings_of(group, asked, "no-head").train
    assert (arm.projection_lr, arm.base_lr) == (3e-3, 0.0)
