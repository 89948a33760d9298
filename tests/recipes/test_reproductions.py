"""What the small form of a recipe gave is compared with what it gives here, and the page says what the recipes say."""

from __future__ import annotations

from pathlib import Path

import pytest
from workspace import Workspace, workspace

from irctl import paths, recipes_index, shipped_files
from irctl.errors import DataError
from irctl.ledger import query
from irctl.pipelines.arms import reproductions
from irctl.pipelines.arms.reproductions import Reproduction

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


def test_every_recipe_with_a_small_form_says_what_it_gives() -> None:
    small = {name for name in shipped_files.names("recipes") if recipes_index.has_tiny(name)}
    assert small - {one.recipe for one in reproductions.listed()} == set()


def test_every_line_begins_with_irctl_and_runs_its_recipe_small() -> None:
    for one in reproductions.listed():
        assert all(line.startswith("irctl ") for line in one.lines), one.recipe
        assert any(f" {one.recipe} --tiny" in line for line in one.lines), one.recipe


def test_a_figure_names_its_split_where_there_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    def row(split: str, value: float) -> dict[str, object]:
        return {"split": split, "name": "nDCG@10", "value": value}

    measured = {"own": [row("dev", 0.5)], "arm's": [row("dev", 0.4), row("test: whiten, cosine", 0.3)]}
    monkeypatch.setattr(query, "measures", measured.__getitem__)
    payload = {"run": "own", "runs": [{"name": "arm", "train": "own", "evals": ["other", "arm's"]}]}

    def found(figure: str) -> float:
        return reproductions.compare(Reproduction("r", (), {figure: 0.0}, 1.0, 1), payload)[0]["found"]

    assert found("nDCG@10") == 0.5
    assert found("arm: nDCG@10 on test: whiten, cosine") == 0.3
    with pytest.raises(DataError, match="measured it on dev, test: whiten, cosine; say 'arm: nDCG@10 on SPLIT'"):
        found("arm: nDCG@10")
    with pytest.raises(DataError, match="no such measure; it has nDCG@10 on dev"):
        found("RR@10 on dev")


def test_figures_within_the_tolerance_hold_and_others_are_an_error(place: Workspace, tmp_path: Path) -> None:
    (right := tmp_path / "right.toml").write_text(RECIPE.format(size=16))
    (wrong := tmp_path / "wrong.toml").write_text(RECIPE.format(size=15))
    done = place.ok(f"recipes reproduce {right} --json").json
    assert [(f["figure"], f["holds"]) for f in done["figures"]] == [("code_size", "yes"), ("recall@10", "yes")]
    failed = place.run(f"recipes reproduce {wrong}")
    assert failed.code == 1
    assert "code_size: expected 15 within 0.05, found 16.0 (1 of 2 figures differ)" in failed.err
    (kept,) = (paths.cache() / "reproduced").iterdir()
    assert f"Its runs are in {kept}" in failed.err and list(kept.glob("*/run.json")), "those that held are gone"


def test_what_was_encoded_last_does_not_matter_to_the_lines_of_a_recipe(place: Workspace, tmp_path: Path) -> None:
    line = "irctl compress --method sq --data latest"
    (own := tmp_path / "own.toml").write_text(
        RECIPE.format(size=32).replace("irctl compress --method sq --data synthetic:300,16,0.5", line)
    )
    place.ok("encode --set encoder.passage_max_len=8")
    failed = place.run(f"recipes reproduce {own}")
    assert failed.code == 3 and "latest: no encoded corpus in the ledger" in failed.err
    assert query.newest("encode") is not None, "the ledger is the user's again"


def test_a_recipe_without_figures_is_refused_by_name(place: Workspace, tmp_path: Path) -> None:
    (own := tmp_path / "own.toml").write_text("[train]\nmethod = 'dense'\n")
    done = place.run(f"recipes reproduce {own}")
    assert done.code == 2 and "own.toml: has no [meta.reproduced]" in done.err


@pytest.mark.slow
def test_small_forms_give_their_figures_here(tmp_path: Path, minilm: Path) -> None:
    with workspace(tmp_path, minilm) as place:
        place.ok("recipes reproduce stream-pq stream-sq stream-saq jpq-distill")
