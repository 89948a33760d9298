"""Cards of model folders that were carried away from the run that trained them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from word_collection import word_collection
from workspace import Workspace

from irctl.ledger import query

SHORT = "--set encoder.query_max_len=16 --set encoder.passage_max_len=24"
MEASURES = ["R@100", "RR@10", "nDCG@10"]


@pytest.fixture(scope="module")
def words(place: Workspace) -> str:
    return word_collection(place.folder / "words", train=range(8), dev=range(8, 12))


@pytest.fixture
def carried(place: Workspace, words: str, in_process: None, tmp_path: Path) -> Path:
    """A copy of the model of the first training, made by the first test that asks for it."""
    if not query.newest("train"):
        place.ok(f"train --data {words} --batch 4 --max-steps 1 --set data.group_size=3 --set eval.during=off {SHORT}")
    return Path(shutil.copytree(query.find_run("latest:train").paths.model, tmp_path / "carried"))


def without_its_run(carried: Path) -> Path:
    """As on a machine whose ledger has another run."""
    path = carried / "irctl.json"
    path.write_text(path.read_text().replace(query.find_run("latest:train").id, "20200101-000000000-none"))
    return carried


def test_a_copy_has_the_card_of_its_run_where_the_ledger_has_that(place: Workspace, carried: Path) -> None:
    before = (carried / "README.md").read_text()
    (carried / "README.md").unlink()
    made = place.ok(f"export {carried} --to card --json").json
    assert made["export"] == str(carried / "README.md") and (carried / "README.md").read_text() == before


def test_else_the_card_that_came_with_it_gains_the_evaluations_made_here(
    place: Workspace, carried: Path, words: str
) -> None:
    before = (without_its_run(carried) / "README.md").read_text()
    place.ok(f"export {carried} --to card")
    assert (carried / "README.md").read_text() == before
    place.ok(f"eval --model {carried} --data {words} --split dev")
    for _ in range(2):  # the second time in place of the first
        place.ok(f"export {carried} --to card")
        text = (carried / "README.md").read_text()
        since = text.partition("## Evaluated since")[2].partition("## Made by")[0]
        assert [line.split(" | ")[3] for line in since.splitlines() if line.startswith("| words")] == MEASURES
        for section in ("## Training", "## Command", "## Results", "## Made by"):
            assert before.count(section) == text.count(section) == 1


def test_without_a_card_its_own_file_says_what_it_knows(place: Workspace, carried: Path) -> None:
    (without_its_run(carried) / "README.md").unlink()
    place.ok(f"export {carried} --to card")
    card = ModelCard.load(carried / "README.md")
    assert card.data.base_model == "sentence-transformers/all-MiniLM-L6-v2" and "loss:infonce" in card.data.tags
    assert "| loss | infonce |" in str(card) and "| tokens of a passage, at most | 24 |" in str(card)
    assert "| began with `model.safetensors`, sha256 | `" in str(card)
    assert "run `20200101-000000000-none`, which is not in the ledger that wrote this card" in str(card)
    plan = place.ok(f"export {carried} --to hub --repo me/it --dry-run --json").json["plan"]
    assert 'SentenceTransformer("me/it")' in "\n".join(plan["card"]) and "irctl.json" in plan["files"]


def test_a_folder_that_says_nothing_is_refused_with_what_is_missing(place: Workspace, carried: Path) -> None:
    (carried / "irctl.json").unlink()
    done = place.run(f"export {carried} --to card")
    assert done.code == 3 and "found neither irctl.json nor a bundle" in done.err and "Name the run" in done.err
    assert len(done.err.strip().splitlines()) == 1
