"""A trained encoder on the recall task: its rows carry the context, and nothing else does."""

from __future__ import annotations

import math

import pytest
from workspace import Workspace

pytestmark = pytest.mark.slow
CHANCE, QUESTIONS = 1 / 8, 400


def test_answers_fall_to_chance_without_the_rows_of_their_own_context(place: Workspace, in_process: None) -> None:
    place.ok(
        "irctl train --method acerag --set acerag.lm=recall-llama --set acerag.stage=ft --set acerag.data_files=recall "
        "--set acerag.layers=1 --set acerag.ratios=1,2 --set batch.global=32 --set batch.micro=32 --set train.lr=2e-3 "
        "--set train.max_steps=200 --set train.gradient_checkpointing=false --set acerag.held_out=0"
    )
    done = place.ok(
        "irctl eval --task rag-qa --model latest --data recall-test --controls --set acerag.ratios=1,2 "
        f"--set acerag.new_tokens=3 --set acerag.rows_per_file={QUESTIONS} --json"
    )
    values = {r["part"]: r["value"] for r in done.json["results"] if r["measure"] == "EM"}
    error = math.sqrt(CHANCE * (1 - CHANCE) / QUESTIONS)
    assert values["whole context"] > 0.95
    assert values["compressed 1x"] > 0.4 and values["compressed 1x"] > values["untrained encoder 1x"] + 0.1
    for part in (
        "no context",
        "of other questions 1x",
        "of other questions 2x",
        "rows of zeros 1x",
        "rows of zeros 2x",
    ):
        assert abs(values[part] - CHANCE) < 4 * error, (part, values)
