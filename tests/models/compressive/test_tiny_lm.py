"""The small language model recalls what its context says, and what it reads are the words of the task."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from irctl.data.contexts import entities, entity_files, recall
from irctl.data.contexts.prompts import Words
from irctl.data.contexts.rows import read_rows
from irctl.data.contexts.split import split_row
from irctl.models.compressive import tiny_lm
from irctl.models.compressive.language_model import open_language_model, open_tokenizer
from irctl.models.locate import LocatedModel


def test_a_context_has_every_key_once_and_its_questions_are_answered_by_it() -> None:
    contexts_NT, values_NK, asked_NQ = recall.draw(50, 1)
    assert (recall.draw(50, 1)[0] == contexts_NT).all() and (recall.draw(50, 2)[0] != contexts_NT).any()
    known = recall.words()
    for context, values, asked in zip(contexts_NT, values_NK, asked_NQ, strict=True):
        facts = [known[i] for i in context if known[i].startswith("k")]
        assert sorted(facts) == sorted(f"k{k}v{v}" for k, v in enumerate(values))
        assert len(context) == 32 and len(set(asked.tolist())) == recall.QUESTIONS
    assert len(set(known)) == len(known) == 3 + 128 + 16 + 16
    assert known[recall.question_number(3)] == "k3?" and known[recall.value_number(15, 7)] == "k15v7"


def test_its_files_are_rows_whose_words_are_one_token_each(tmp_path: Path) -> None:
    assert recall.write(tmp_path, train=4, test=2, seed=1) == {
        "recall-train.json": 32, "recall.json": 16, "recall-dev.json": 16, "recall-text.json": 4
    }  # fmt: skip
    tokenizer = tiny_lm.make_tokenizer()
    (row, *others) = list(read_rows(tmp_path / "recall.json", Words()))
    found = split_row(tokenizer, row)
    assert tokenizer.convert_ids_to_tokens(found.head) == ["<s>"] and len(found.context) == 32
    assert tokenizer.convert_ids_to_tokens(found.context) == row.context.split()
    assert tokenizer.convert_ids_to_tokens(found.answer) == [row.answers[0], "</s>"]
    assert tokenizer.convert_ids_to_tokens(found.tail) == [row.answers[0][: row.answers[0].index("v")] + "?"]
    assert len({r.id for r in [row, *others]}) == 16


@pytest.mark.slow
@pytest.mark.parametrize("task", [tiny_lm.RECALL, tiny_lm.ENTITIES])
def test_it_answers_by_its_context_and_by_chance_without(tmp_path: Path, task: tiny_lm.SmallTask) -> None:
    tiny_lm.make(tmp_path, "llama", task=task, seed=1)
    located = LocatedModel(tmp_path, "llama", "", "folder")
    lm, tokenizer = open_language_model(located), open_tokenizer(located)
    if task is tiny_lm.RECALL:
        recall.write(tmp_path, train=1, test=60, seed=5)
        file, words = "recall.json", Words()
    else:
        entity_files.write(tmp_path, train=120, test=1, seed=5)
        file, words = "rag-qa.json", Words(**entities.WORDS)
    rows = [split_row(tokenizer, r) for r in read_rows(tmp_path / file, words)]
    right = {"open": 0, "closed": 0}
    for name in right:
        for found in rows:
            context = found.context if name == "open" else ()
            ids_1T = torch.tensor([[*found.head, *context, *found.tail]])
            with torch.no_grad():
                said = int(lm(input_ids=ids_1T).logits[0, -1].argmax())
            right[name] += said == found.answer[0]
    assert right["open"] / len(rows) > 0.97
    assert right["closed"] / len(rows) < 0.25
