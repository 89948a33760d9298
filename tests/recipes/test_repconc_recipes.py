"""RepCONC as recipes: each step is one command of the README's table, and one group chains them all."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from workspace import Workspace, line_of

from irctl import config, recipes_index
from irctl.pipelines.arms.steps import Asked, plan

README = (Path(__file__).parents[2] / "README.md").read_text()


def rows() -> list[tuple[str, str]]:
    """(there, here) of the rows of RepCONC."""
    lines = README.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| RepCONC, JPQ |"))
    stop = next(i for i, line in enumerate(lines) if i > start and not line.startswith("| |"))
    return [tuple(c.strip() for c in line.strip("|").split(" | "))[1:] for line in lines[start:stop]]  # type: ignore[misc]


COMMANDS = sorted({c for _, here in rows() for c in re.findall(r"`(irctl [^`]*)`", here)})


def test_every_step_of_the_source_has_a_row() -> None:
    there = " ".join(t for t, _ in rows())
    numbered = [*(f"{n}_" for n in (1, 3, 4, 5, 6, 7, 8, 9, 10)), "jpq/6_", "jpq/7_"]
    assert [n for n in numbered if n not in there] == []
    for said in ("metric.json", "links", "number of GPUs", "learning rate"):
        assert said in there


@pytest.mark.parametrize("command", COMMANDS)
def test_a_row_is_a_command_line_whose_settings_are_legal(command: str) -> None:
    line = line_of(shlex.split(command)[1:])
    if recipe := (line.values("--recipe") or [""])[0]:
        config.resolve(recipes_index.layer(recipe))
    if line.command == ("recipes", "run"):
        assert recipes_index.check(line.words[2]) == []


def test_recipes_have_the_numbers_of_the_source() -> None:
    warmup, stage1, stage2, jpq = (
        config.resolve(recipes_index.layer(n)) for n in ("repconc-warmup", "repconc-stage1", "repconc-stage2", "jpq")
    )
    assert warmup.compress.method == "opq" and warmup.plugin("opq") == {"m": 48, "bits": 8}
    assert "ance" in warmup.model.name and warmup.encoder.lower_case and warmup.encoder.passage_max_len == 512
    assert (stage1.train.lr, stage1.batch.global_, stage1.train.epochs, stage1.train.clip) == (2e-5, 4096, 6, 8.0)
    assert stage1.plugin("repconc")["mse_weight"] == 0.0768 and stage1.plugin("repconc")["negatives"] == 11
    assert (stage2.train.lr, stage2.plugin("jpq")["centroid_lr"], stage2.batch.global_) == (2e-6, 2e-5, 128)
    assert (jpq.train.lr, jpq.plugin("jpq")["centroid_lr"], jpq.train.epochs) == (5e-6, 1e-4, 4)
    assert all(c.data.source == "msmarco" for c in (warmup, stage1, stage2, jpq))


def group_lines(place: Workspace) -> dict[str, list[str]]:
    line = line_of("recipes run repconc --tiny")
    settings = config.resolve(recipes_index.layer("repconc", tiny=True))
    chains = plan(settings, Asked(recipe="repconc", tiny=True, line=line, read=line_of))
    return {c.arm: [shlex.join(words) for words in c.lines] for c in chains}


def test_the_group_hands_each_step_what_its_own_steps_made(place: Workspace) -> None:
    """Never `latest`, as links were there: a second run of the group, or one beside it, cannot be taken for it."""
    made = group_lines(place)
    assert list(made) == ["dense", "warmup", "hardneg", "stage1", "codes", "stage2", "jpq", "jpq-distill"]
    assert "latest" not in str(made)
    for arm, words in {
        "warmup": ("compress --data {dense}",),
        "hardneg": ("hardneg --index {warmup}", "--num 200"),
        "stage1": ("train --index {warmup} --negatives {hardneg}",),
        "codes": ("encode --model {stage1} --codes",),
        "stage2": ("train --index {codes}",),
        "jpq": ("train --index {warmup}",),
    }.items():
        assert all(w in made[arm][0].replace("'", "") for w in words), made[arm]
    measured = [arm for arm, lines in made.items() if any(line.startswith("eval") for line in lines)]
    assert measured == ["dense", "warmup", "codes", "stage2", "jpq", "jpq-distill"]
    assert all("--split dev,test --export repconc" in line for lines in made.values() for line in lines[1:])
