"""What the small form of a recipe gave is compared with what it gives here, and the page says what the recipes say."""

from __future__ import annotations

from pathlib import Path

import pytest
from workspace import Workspace, workspace

from irctl import paths
from irctl.pipelines.arms import reproductions

RECIPE = """
[meta]
title = "a quantizer on made vectors"
source = "irctl"
command = "irctl compress --recipe FILE"

[meta.reproduced]
lines = ["irctl compress --method sq --data synthetic:300,16,0.5"]
figures = {{ "code_size" = {size}, "recall@10" = 0.99 }}
tolerance = 0.05
cpu_s = 2

[compress]
method = "sq"
"""


def test_the_page_is_what_the_recipes_say() -> None:
    assert (paths.shipped("recipes") / reproductions.PAGE).read_text() == reproductions.page()


def test_figures_within_the_tolerance_hold_and_others_are_an_error(place: Workspace, tmp_path: Path) -> None:
    (right := tmp_path / "right.toml").write_text(RECIPE.format(size=16))
    (wrong := tmp_path / "wrong.toml").write_text(RECIPE.format(size=15))
    done = place.ok(f"recipes reproduce {right} --json").json
    assert [(f["figure"], f["holds"]) for f in done["figures"]] == [("code_size", "yes"), ("recall@10", "yes")]
    failed = place.run(f"recipes reproduce {wrong}")
    assert failed.code == 1
    assert "code_size: expected 15 within 0.05, found 16.0 (1 of 2 figures differ)" in failed.err


def test_a_recipe_without_figures_is_refused_by_name(place: Workspace) -> None:
    done = place.run("recipes reproduce repconc-stage1")
    assert done.code == 2 and "repconc-stage1: has no [meta.reproduced]" in done.err


@pytest.mark.slow
def test_small_forms_give_their_figures_here(tmp_path: Path, minilm: Path) -> None:
    with workspace(tmp_path, minilm) as place:
        place.ok("recipes reproduce stream-pq stream-sq stream-saq jpq-distill")
