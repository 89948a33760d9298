"""The groups that measure a compressive encoder on the recall task: arms that differ in one thing, in as many steps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from workspace import line_of

from irctl import config, recipes_index
from irctl.data.contexts import recall_files
from irctl.models.compressive import located
from irctl.pipelines.arms.steps import Asked, plan
from irctl.pipelines.lineage import system
from irctl.training.texts import settings as texts

GROUPS = ("acerag-recall", "acerag-arms")


def planned(name: str, seeds: str = "") -> dict[str, tuple[tuple[str, ...], ...]]:
    settings = config.resolve(recipes_index.layer(name))
    asked = Asked(recipe=name, seeds=seeds, line=line_of(f"recipes run {name}"), read=line_of)
    return {chain.name: chain.lines for chain in plan(settings, asked)}


def resolved(name: str) -> tuple[config.Config, Any]:
    found = config.resolve(recipes_index.layer(name))
    return found, texts.read(found).own


def test_every_arm_is_trained_by_three_seeds_and_judged_on_the_same_questions() -> None:
    for group in GROUPS:
        chains = planned(group)
        arms = recipes_index.arms(group)
        assert len(chains) == 3 * len(arms)
        judged = {
            words[words.index("--data") + 1] for lines in chains.values() for words in lines if words[0] == "eval"
        }
        assert judged == {"recall-test"} <= set(recall_files.FILES)
        assert all(config.resolve(recipes_index.layer(f"{group}:{arm}")).train.method == "acerag" for arm in arms)


def test_the_arms_have_as_many_steps_with_or_without_pre_training() -> None:
    steps = {arm: resolved(f"acerag-arms:{arm}")[0].train.max_steps for arm in recipes_index.arms("acerag-arms")}
    assert {steps.pop(arm) + steps.pop(f"after-{arm}") for arm in ("pt", "pt-reconstruction")} == {300}
    assert set(steps.values()) == {300}
    inits = [line for lines in planned("acerag-arms", "7").values() for line in lines if "--init" in line]
    assert [line[2] for line in inits] == ["{pt}", "{pt-reconstruction}"]


def test_the_small_form_has_100_steps_in_every_arm_and_runs_both_stages() -> None:
    """The arms after a pre-training name their own number of steps, which its small form had too."""
    for arm in recipes_index.arms("acerag-arms"):
        assert config.resolve(recipes_index.layer(f"acerag-arms:{arm}", tiny=True)).train.max_steps == 100, arm
    settings = config.resolve(recipes_index.layer("acerag-arms", tiny=True))
    line = line_of("recipes run acerag-arms --tiny")
    chains = plan(settings, Asked(recipe="acerag-arms", tiny=True, line=line, read=line_of))
    assert {chain.name for chain in chains} == {"stride-seed1", "pt-seed1", "after-pt-seed1"}


def test_the_arms_are_those_that_neighbours_argue_for() -> None:
    own = {arm: resolved(f"acerag-arms:{arm}")[1] for arm in recipes_index.arms("acerag-arms")}
    assert {own[rows].selection for rows in ("stride", "random", "terminal", "mean")} == set(texts.STAGES["ft"])
    depths = [own[f"layers-{k}"] for k in (1, 2, 3)]
    assert [d.layers for d in depths] == [1, 2, 3] and {d.lm for d in depths} == {"recall-llama-4"}
    assert own["teacher"].targets == "teacher" and own["pt-reconstruction"].reconstruction == 0.2
    assert {arm for arm, o in own.items() if o.stage == "pt"} == {"pt", "pt-reconstruction"}


def test_small_language_models_have_the_layers_that_their_names_say(monkeypatch: pytest.MonkeyPatch) -> None:
    from irctl.models.compressive import tiny_lm

    made: list[tuple[str, int]] = []
    monkeypatch.setattr(tiny_lm, "make", lambda work, shape, *, layers, **more: made.append((shape, layers)))
    monkeypatch.setattr(located.made_once, "make_once", lambda kind, key, make: make("folder"))
    for name in located.SMALL:
        located.locate_language_model(name)
    assert dict(zip(located.SMALL, made, strict=True))["recall-llama-4"] == ("llama", 4)
    assert made.count(("llama", 2)) == 2 and made.count(("qwen3", 2)) == 1


def test_seeds_of_a_training_that_went_on_from_another_are_one_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each seed goes on from a run of its own: the path of that run told them apart."""
    monkeypatch.setattr(system, "changed", lambda run: run.chosen)

    def chain(seed: int, reconstruction: float) -> dict[str, Any]:
        first = SimpleNamespace(id=f"a{seed}", columns={"command": "train"})
        first.chosen = {"acerag.stage": "pt", "acerag.reconstruction": reconstruction}
        second = SimpleNamespace(id=f"b{seed}", columns={"command": "train"})
        second.chosen = {"acerag.stage": "ft", "train.init": f"runs/a{seed}/model"}
        judged = SimpleNamespace(id=f"c{seed}", columns={"command": "eval"})
        return system._trained(second, [judged, second, first])

    assert chain(1, 0.0) == chain(2, 0.0) != chain(1, 0.2)
    assert chain(1, 0.2)["before"] == {"before.acerag.stage": "pt", "before.acerag.reconstruction": 0.2}
    alone = SimpleNamespace(id="x", columns={"command": "train"}, chosen={"train.init": "elsewhere"})
    assert system._trained(alone, [alone]) == {"train": {"train.init": "elsewhere"}}
