"""Answers of the language model in place of labels: greedy, of the whole context, once, and for training rows alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import acerag_training as tiny
import pytest
import torch

from irctl import config as settings
from irctl.data.contexts import recall
from irctl.data.contexts.split import Split
from irctl.errors import ConfigError, DataError
from irctl.models.compressive.language_model import open_language_model, open_tokenizer
from irctl.models.locate import LocatedModel
from irctl.pipelines.train.data_kinds import texts
from irctl.training.texts import settings as compressions
from irctl.training.texts import teacher
from irctl.training.texts.opening import plan_of
from irctl.training.texts.teacher import AnsweringTeacher
from irctl.types import Silent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    tiny.make_models(folder)
    tiny.make_files(folder)
    return folder


def configuration(made: Path, **more: Any) -> settings.Config:
    return tiny.configuration(made, **{"acerag.targets": "teacher", **more})


def located(made: Path) -> LocatedModel:
    return LocatedModel(made / "lm-llama", "lm-llama", "", "folder")


def one_by_one(lm: Any, prompt: list[int], end: int, most: int) -> list[int]:
    """Greedy by hand: the most likely token, again and again, without a cache."""
    made: list[int] = []
    while len(made) < most and end not in made:
        made.append(int(lm(input_ids=torch.tensor([prompt + made])).logits[0, -1].argmax()))
    return made


def test_answers_are_greedy_over_whole_prompts_of_any_length_in_a_batch(made: Path) -> None:
    lm, tokenizer = open_language_model(located(made)).eval(), open_tokenizer(located(made))
    # of a random model the first of these ends at once or never: both kinds are there
    prompts = [Split((1,), tuple(range(10, 10 + n)), (150,), (0,)) for n in (30, 3, 17)]
    end = one_by_one(lm, [1, *range(10, 40), 150], -1, 2)[-1]
    tokenizer.eos_token = recall.words()[end]
    found = teacher.answer(lm, tokenizer, prompts, 5, lambda n=1: None)
    wanted = [one_by_one(lm, [*p.head, *p.context, *p.tail], end, 5) for p in prompts]
    assert [list(a) for a in found] == wanted
    assert len(found[0]) == 2 and found[0][-1] == end


def test_a_context_that_the_model_cannot_take_keeps_its_ends(made: Path) -> None:
    lm = open_language_model(located(made)).eval()
    assert lm.config.max_position_embeddings == 256
    fitted = teacher._fit(Split((1,), tuple(range(300)), (2, 3)), 192)
    assert len(fitted) == 192 and fitted[:2] == (1, 0) and fitted[-3:] == (299, 2, 3)


def test_an_answer_leaves_its_model_room_for_the_context(made: Path) -> None:
    """With 512 tokens for an answer nothing was left of 256 for the context, and the model answered without it."""
    who = AnsweringTeacher(configuration(made, **{"acerag.lm_tokens": 4096}), located(made), None)
    assert who._most_new == 256 // 4
    with pytest.raises(DataError, match="leaves no room for its context"):
        teacher._fit(Split((1,), (5, 6), (2, 3)), 3)


def test_training_rows_are_taught_once_and_rows_held_out_keep_their_labels(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configuration(made)
    compression = compressions.read(config)
    tokenizer = open_tokenizer(located(made))
    plan = plan_of(config, compression, tokenizer)
    who = AnsweringTeacher(config, located(made), tokenizer)
    assert not who.is_made(plan)
    assert any("answers every training row first" in line for line in texts.describe(config).lists["notices"])
    taught = who.teach(plan, Silent())
    assert who.is_made(plan) and taught.fingerprint != plan.fingerprint
    lm = open_language_model(located(made)).eval()
    trained = plan.taken_N2[:, 1].tolist()
    for row in (*trained[:3], *plan.held_out_M2[:3, 1].tolist()):
        before, after = plan.stored[0].split(row), taught.stored[0].split(row)
        assert (before.head, before.context, before.tail) == (after.head, after.context, after.tail)
        prompt = [*before.head, *before.context, *before.tail]
        greedy = tuple(one_by_one(lm, prompt, tokenizer.eos_token_id, 16))
        assert after.answer == (greedy if row in trained else before.answer)
    assert (taught.stored[0].row_ids_N == plan.stored[0].row_ids_N).all()

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("the answers are here")

    monkeypatch.setattr(teacher, "open_language_model", opened)
    assert who.teach(plan, Silent()).fingerprint == taught.fingerprint


def test_pre_training_has_no_answers_to_be_taught(made: Path) -> None:
    with pytest.raises(ConfigError, match=r"acerag\.targets .*: is of stage ft; this is stage pt"):
        compressions.read(configuration(made, **{"acerag.stage": "pt"}))
