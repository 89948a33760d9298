"""Groups of runs: which command lines they expand to, and what happens when lines end, fail, or run again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from workspace import line_of

from irctl import config, recipes_index
from irctl.errors import ConfigError, PartlyDone, RunFailed
from irctl.ledger.query import RunRecord
from irctl.ledger.recording import GROUP, RunHandle, start_run
from irctl.origins import MEASURED
from irctl.pipelines.arms import arms, steps
from irctl.pipelines.arms import chains as arms_chains
from irctl.pipelines.arms.chains import RUN, Chain, DoneLines, Pool
from irctl.pipelines.lineage.run_settings import changed
from irctl.pipelines.report import records
from irctl.types import Silent

GROUP_RECIPE = """
[meta]
title = "two arms"
source = "a test"
command = "irctl train --recipe two.toml"
seeds = [1, 2]
evaluate = ["dev", "test", "scifact test"]
baseline = "infonce"
tiny_seeds = [7]
tiny_arms = ["plain"]

[train]
method = "sycl"
lr = 1e-3

[encoder]
query_max_len = 32
override = true

[[arms]]
name = "plain"
loss.name = "infonce"

[[arms]]
name = "graded"
loss.name = "ws2"
train.lr = 1e-4

[tiny.train]
max_steps = 1
"""

FIRST = "20260801-120000000-0001"
# Stands for irctl: notes its words; a training fails if the file `fail` names its seed; answers like `--json`.
FAKE = """
import json, os, sys
from pathlib import Path
here = Path(os.environ["FAKE_FOLDER"])
words = sys.argv[1:]
with (here / "calls.jsonl").open("a") as f:
    f.write(json.dumps([*words, os.environ.get("IRCTL_GROUP"), os.environ.get("CUDA_VISIBLE_DEVICES")]) + chr(10))
fail = (here / "fail").read_text() if (here / "fail").is_file() else ""
if words[0] == "train" and words[words.index("--seed") + 1] in fail.split():
    print(json.dumps({"schema": "irctl/error/1", "message": "the loss is NaN", "hint": "Lower it"}))
    sys.exit(1)
run = f"20260801-120000000-000{len((here / 'calls.jsonl').read_text().splitlines())}"
folder = Path(os.environ["IRCTL_RUNS"]) / run
folder.mkdir(parents=True)
record = {"id": run, "command": words[0], "status": "completed", "created_at": "2026-08-01T12:00:00Z"}
(folder / "run.json").write_text(json.dumps(record))
print("progress")
print(json.dumps({"run": run}))
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "two.toml"
    path.write_text(GROUP_RECIPE)
    return str(path)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a stand-in for irctl that children run."""
    (tmp_path / "fake.py").write_text(FAKE)
    monkeypatch.setattr(arms_chains, "COMMAND", (sys.executable, str(tmp_path / "fake.py")))
    monkeypatch.setenv("FAKE_FOLDER", str(tmp_path))
    return tmp_path


def asked(recipe: str, line: str = "", **more: object) -> steps.Asked:
    words = ("irctl", "train", "--recipe", recipe, *line.split())
    return steps.Asked(recipe=recipe, line=line_of(words), read=line_of, **more)  # type: ignore[arg-type]


def settings(recipe: str, *sets: str) -> config.Config:
    return config.resolve(recipes_index.layer(recipe), config.from_sets(sets))


def calls(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]


def group_run(recipe: str, resume: Path | None = None) -> RunHandle:
    return start_run(command="arms", argv=["irctl", "train"], config=settings(recipe), resume=resume)


def test_a_group_expands_to_every_arm_with_every_seed_and_its_evaluations(recipe: str) -> None:
    chains = steps.plan(settings(recipe), asked(recipe))
    assert [c.name for c in chains] == [
        "untouched-all-MiniLM-L6-v2", "plain-seed1", "plain-seed2", "graded-seed1", "graded-seed2",
    ]  # fmt: skip
    train, own, other = chains[3].lines
    assert train == ("train", "--recipe", f"{recipe}:graded", "--seed", "1")
    assert own == ("eval", "--model", RUN, "--data", "cranfield", "--split", "dev,test")
    assert other == ("eval", "--model", RUN, "--data", "scifact", "--split", "test")


def test_the_untouched_model_is_evaluated_with_the_lengths_of_those_trained_from_it(recipe: str) -> None:
    first = steps.plan(settings(recipe), asked(recipe))[0].lines[0]
    assert first[3:7] == ("--set", "encoder.query_max_len=32", "--set", "encoder.override=true")


def test_tiny_takes_the_recipe_s_own_few_arms_and_seeds(recipe: str) -> None:
    chains = steps.plan(settings(recipe), asked(recipe, "--tiny", tiny=True))
    assert [c.name for c in chains[1:]] == ["plain-seed7"]
    assert chains[1].lines[0] == ("train", "--recipe", f"{recipe}:plain", "--tiny", "--seed", "7")


def test_options_reach_every_training_and_hardware_reaches_evaluations_too(recipe: str) -> None:
    line = "--seeds 3 --profile t4 --lr 1e-4 --set eval.measures=AP --set train.epochs=1 --json --devices=0,1"
    chain = steps.plan(settings(recipe), asked(recipe, line, seeds="3", devices=(0, 1)))[1]
    train, evaluation = chain.lines[:2]
    given = ("--profile", "t4", "--lr", "1e-4", "--set", "eval.measures=AP", "--set", "train.epochs=1")
    assert train[3:] == (*given, "--set", "hardware.devices=1", "--seed", "3")
    assert evaluation[-4:] == ("--profile", "t4", "--set", "eval.measures=AP")


def test_an_arm_s_settings_win_over_the_group_s_and_lose_to_the_command_line(recipe: str) -> None:
    assert settings(f"{recipe}:graded").train.lr == 1e-4
    assert settings(f"{recipe}:graded", "train.lr=0.5").train.lr == 0.5
    assert settings(f"{recipe}:plain").train.lr == 1e-3
    with pytest.raises(ConfigError, match=r"no arm named 'gradd'.*Did you mean 'graded'"):
        settings(f"{recipe}:gradd")


def test_seeds_make_a_group_of_a_plain_training() -> None:
    assert arms.is_group("", "1,2") and not arms.is_group("cranfield-ws2") and arms.is_group("sycl-compare")
    assert not arms.is_group("sycl-compare:ws2")
    plain = steps.Asked(seeds="1,2", line=line_of("train --loss infonce --seeds 1,2"), read=line_of)
    chains = steps.plan(config.resolve(), plain)
    assert chains[1].name == "infonce-seed1"
    assert chains[1].lines[0] == ("train", "--loss", "infonce", "--seed", "1")
    assert chains[1].lines[1] == ("eval", "--model", RUN, "--data", "cranfield", "--split", "dev,test")


@pytest.mark.parametrize("line", ["--recipe jpq-distill", "--recipe jpq-distill --tiny", "--method jpq"])
def test_seeds_of_a_training_that_makes_codes_evaluate_the_codes(line: str) -> None:
    """They were once evaluated by the encoder's float vectors, which stay what they were."""
    recipe = line.partition("--recipe ")[2].partition(" ")[0]
    settled = (
        config.resolve(recipes_index.layer(recipe))
        if recipe
        else config.resolve(config.from_sets(["train.method=jpq"]))
    )
    asked = steps.Asked(recipe=recipe, seeds="1,2", line=line_of(f"train {line} --seeds 1,2"), read=line_of)
    untouched, *trained = steps.plan(settled, asked)
    assert untouched.lines[0][:2] == ("eval", "--model")
    assert [c.lines[1] for c in trained] == [("eval", "--index", RUN, "--data", "cranfield", "--split", "dev,test")] * 2


@pytest.mark.parametrize("text", ["1,1", "a", "1,,2", "1-3"])
def test_seeds_that_are_no_numbers_or_repeat_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--seeds"):
        steps.seed_numbers(text)


def test_out_is_refused_for_a_group(recipe: str) -> None:
    with pytest.raises(ConfigError, match="overwrite each other"):
        steps.plan(settings(recipe), asked(recipe, "--out model"))


def test_dry_run_prints_command_lines_that_can_be_typed(recipe: str) -> None:
    shown = arms.describe(settings(recipe), asked(recipe))
    assert shown["command lines"] == "14, one after another"
    assert f"irctl train --recipe {recipe}:graded --seed 2" in shown["lines"]
    assert "irctl eval --model {run} --data cranfield --split dev,test" in shown["lines"]


def test_a_failed_run_stops_its_own_chain_only_and_the_same_command_tries_it_again(recipe: str, fake: Path) -> None:
    (fake / "fail").write_text("2")
    quiet = "# no evaluation, so no report of them is wanted\n"
    Path(recipe).write_text(quiet + GROUP_RECIPE.replace('["dev", "test", "scifact test"]', "[]"))
    run = group_run(recipe)
    with (
        pytest.raises(PartlyDone, match=r"2 of 4 runs failed, such as plain-seed2: the loss is NaN. Lower it") as error,
        run,
    ):
        arms.run_group(settings(recipe), run, Silent(), asked(recipe))
    assert error.value.exit_code == 5
    assert len(calls(fake)) == 4
    assert {c[-2] for c in calls(fake)} == {run.id}
    (fake / "fail").unlink()
    with group_run(recipe, run.paths.folder) as again:
        payload = arms.run_group(settings(recipe), again, Silent(), asked(recipe))
    assert [c[4] for c in calls(fake)[4:]] == ["2", "2"]
    assert [r["name"] for r in payload["runs"]] == ["plain-seed1", "plain-seed2", "graded-seed1", "graded-seed2"]
    assert payload["group"] == run.id and "report" not in payload  # nothing was measured, so there is none


def test_a_group_of_which_nothing_succeeds_has_failed(recipe: str, fake: Path) -> None:
    (fake / "fail").write_text("1 2")
    Path(recipe).write_text(GROUP_RECIPE.replace('["dev", "test", "scifact test"]', "[]"))
    with pytest.raises(RunFailed, match="4 of 4"), group_run(recipe) as run:
        arms.run_group(settings(recipe), run, Silent(), asked(recipe))


def pool(folder: Path, slots: int = 1) -> Pool:
    done = DoneLines(folder / "done.jsonl", folder / "runs")
    return Pool(done, folder / "logs", [{GROUP: "g", "CUDA_VISIBLE_DEVICES": str(n)} for n in range(slots)])


def test_later_lines_of_a_chain_get_the_id_of_its_first_run(fake: Path) -> None:
    chain = Chain("a", (("train", "--seed", "1"), ("eval", "--model", RUN)))
    pool(fake).run([chain], Silent())
    assert chain.runs == [FIRST, "20260801-120000000-0002"]
    assert calls(fake)[1][:3] == ["eval", "--model", FIRST]


def test_a_run_whose_folder_is_gone_or_incomplete_is_done_again(fake: Path) -> None:
    lines = (("train", "--seed", "1"),)
    pool(fake).run([Chain("a", lines)], Silent())
    pool(fake).run([Chain("a", lines)], Silent())
    assert len(calls(fake)) == 1
    record = fake / "runs" / FIRST / "run.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "status": "killed"}))
    pool(fake).run([Chain("a", lines)], Silent())
    assert len(calls(fake)) == 2


def test_a_torn_last_line_of_the_memory_is_no_finished_run(fake: Path) -> None:
    (fake / "done.jsonl").write_text('{"line": "train --seed 1", "ru')
    assert DoneLines(fake / "done.jsonl", fake / "runs").recall(("train", "--seed", "1")) is None


def test_what_the_orphan_of_a_killed_group_prints_is_no_answer(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fake / "logs").mkdir()
    answer = arms_chains._answer

    def late(child: object) -> dict[str, object]:
        with (fake / "logs" / ".a.answer").open("a") as orphan:
            orphan.write("late\n")
        return answer(child)

    monkeypatch.setattr(arms_chains, "_answer", late)
    chain = Chain("a", (("train", "--seed", "1"),))
    pool(fake).run([chain], Silent())
    assert chain.runs == [FIRST]


def test_two_devices_run_two_chains_and_each_sees_one(fake: Path) -> None:
    pool(fake, 2).run([Chain(str(n), (("train", "--seed", str(n)),)) for n in range(4)], Silent())
    assert {c[-1] for c in calls(fake)} == {"0", "1"}


def test_report_takes_a_group_for_its_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    with start_run(command="arms", argv=["irctl"], config=None) as group:
        pass
    monkeypatch.setenv(GROUP, group.id)
    with start_run(command="eval", argv=["irctl", "eval"], config=None) as member:
        pass
    monkeypatch.delenv(GROUP)
    with start_run(command="eval", argv=["irctl", "eval"], config=None):
        pass
    seen: list[str] = []
    monkeypatch.setattr(records, "read_records", lambda record: seen.append(record.id) or [])
    records.gather([group.id])
    assert seen == [member.id]


def test_seeds_that_measured_other_temperatures_are_one_row() -> None:
    def trained(temperature: float) -> RunRecord:
        stored = config.resolve(config.from_sets(["train.lr=1e-3"])).replace(
            {"loss.temperature": temperature}, MEASURED
        )
        return RunRecord("x", Path("x"), {"config_json": json.dumps(stored.to_json())})

    assert changed(trained(0.31)) == changed(trained(0.29)) == {"train.lr": 1e-3}
