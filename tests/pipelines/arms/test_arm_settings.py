"""The dry run of a group says what its arms are set to, not what the group would be without them."""

from __future__ import annotations

import re

import pytest
from workspace import Workspace, line_of

from irctl import config, profiles, recipes_index
from irctl.pipelines.arms.arm_settings import lines, settings_of
from irctl.pipelines.arms.asked import Asked


@pytest.mark.parametrize(("group", "arm"), [("acerag-llama2", "pretrain"), ("acerag-recall", "qwen3")])
def test_an_arm_is_set_as_its_own_line_sets_it(group: str, arm: str, place: Workspace) -> None:
    """The profile's entries for the arm's method, and what its recipe says of the hardware above them."""
    shown = place.ok(f"train --recipe {group}:{arm} --profile a100x8 --show --json").json["config"]
    asked = Asked(recipe=group, line=line_of(f"recipes run {group} --profile a100x8"), read=line_of)
    whole = config.resolve(profiles.layer("a100x8", "sycl"), recipes_index.layer(group))
    own = settings_of(whole, asked, arm)
    assert own.shown() == shown
    assert own.hardware.micro_batch == 1 and own.hardware.zero_stage == (2 if group == "acerag-llama2" else 0)


def test_a_value_stands_once_with_the_arms_that_have_it(place: Workspace) -> None:
    said = re.sub(r"toml:[0-9]+", "toml:9", place.ok("train --recipe acerag-llama2 --profile a100x8 --dry-run").out)
    assert "  hardware.micro_batch = 1  (profile a100x8)\n" in said
    assert "  hardware.zero_stage = 2  (recipe acerag-llama2-pretrain.toml:9 and 2 others)\n" in said
    assert said.count("hardware.zero_stage") == 1
    assert "  batch.micro = 1  (recipe acerag-llama2-pretrain.toml:9): pretrain\n" in said
    assert (
        "  acerag.stage = 'ft'  (recipe acerag-llama2-longalpaca.toml:9 and 1 others): longalpaca, multitask\n" in said
    )


def test_many_arms_of_a_value_are_counted() -> None:
    asked = Asked(recipe="acerag-arms", line=line_of("recipes run acerag-arms"), read=line_of)
    settings = config.resolve(recipes_index.layer("acerag-arms"))
    said = [re.sub(r":[0-9]+", "", s) for s in lines(settings, asked, list(recipes_index.arms("acerag-arms")))]
    assert "acerag.lm = 'recall-llama-4'  (recipe acerag-arms.toml): layers-1, layers-2, layers-3" in said
    assert "acerag.stage = 'ft'  (recipe acerag-arms.toml): 10 arms, such as stride" in said
    assert "train.method = 'acerag'  (recipe acerag-arms.toml)" in said
