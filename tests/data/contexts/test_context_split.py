"""Head, context and tail are the prompt whatever stands where, and the labels are the answer and its end."""

from __future__ import annotations

from typing import Any

import pytest
from bpe_tokenizer import TEMPLATE, make_tokenizer

from irctl.data import draws
from irctl.data.contexts.prompts import TAG
from irctl.data.contexts.rows import ContextRow
from irctl.data.contexts.split import render, split_prompt, split_row
from irctl.errors import DataError

WORDS = "the colour of wing is red which flow slow heat a answer: blue ? it".split()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer()


def row(prompt: str, context: str, answer: str) -> ContextRow:
    return ContextRow(id="1", dataset="nq", line=1, messages=(("user", prompt),), context=context, answers=(answer,))


def ids_of(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("prompt", [f"{TAG}", f"the {TAG}", f"{TAG} flow?", f"which {TAG}\n\nflow is it?"])
@pytest.mark.parametrize(
    "context", ["", "a slow flow of heat", " red", "\nthe colour of the wing is red\n", "[", TAG[:5]]
)
def test_the_three_parts_are_the_ids_of_the_whole_prompt(tokenizer: Any, prompt: str, context: str) -> None:
    found = split_row(tokenizer, row(prompt, context, "blue"))
    text = render(tokenizer, (("user", prompt),), True).replace(TAG, context)
    assert [*found.head, *found.context, *found.tail] == ids_of(tokenizer, text)
    assert len(found.tail) >= 1  # the template's own end


def test_an_empty_head_tail_and_context_are_empty_lists_not_the_whole() -> None:
    assert split_prompt([7], [1, 2]) == ((), (1, 2), ())
    assert split_prompt([5, 7, 6], [5, 6]) == ((5,), (), (6,))
    assert split_prompt([5, 7], [5, 1]) == ((5,), (1,), ())
    assert split_prompt([7, 6], [1, 6]) == ((), (1,), (6,))
    assert split_prompt([7, 7], [7, 7, 7]) == ((7, 7), (7,), ())


def test_labels_say_the_answer_and_the_end_of_the_turn_for_200_answers(tokenizer: Any) -> None:
    generator = draws.generator("answers", 1)
    for i in range(200):
        answer = " " * (i % 2) + " ".join(generator.choice(WORDS, size=int(generator.integers(1, 6))))
        found = split_row(tokenizer, row(f"which flow is it? {TAG}", "a slow flow", answer))
        assert tokenizer.decode(found.answer) == answer + "<|im_end|>"


def test_an_answer_whose_letters_join_the_prompts_keeps_them() -> None:
    joined = make_tokenizer(["Answer: blue wing"] * 50, template="{{ messages[0].content }}{% if messages|length > 1 %}"
                            "{{ messages[1].content }}<|im_end|>{% endif %}")  # fmt: skip
    prompt = f"{TAG} Answer:"
    whole = ids_of(joined, "x Answer: blue<|im_end|>")
    assert whole[: len(ids_of(joined, "x Answer:"))] != ids_of(joined, "x Answer:")  # they do join
    found = split_row(joined, row(prompt, "x", " blue"))
    assert joined.decode(found.answer) == " blue<|im_end|>"


def test_a_template_that_drops_the_prompts_end_once_answered_still_gives_the_answer() -> None:
    thinking = TEMPLATE.replace("assistant\n{% endif %}", "assistant\n<think></think>{% endif %}")
    tokenizer = make_tokenizer(template=thinking)
    found = split_row(tokenizer, row(f"{TAG} flow?", "slow", "red"))
    assert tokenizer.decode(found.answer) == "red<|im_end|>"


def test_without_a_template_texts_are_plain_and_a_template_that_is_not_there_is_told(tokenizer: Any) -> None:
    plain = split_row(tokenizer, row(f"which {TAG} is it?", "flow", "red"), chat_template=False)
    assert tokenizer.decode([*plain.head, *plain.context, *plain.tail]) == "which flow is it?\n"
    assert tokenizer.decode(plain.answer) == "red<|im_end|>"
    assert split_row(tokenizer, row(f"{TAG}", "flow", "red"), answer="").answer == ()
    bare = make_tokenizer(template="")
    with pytest.raises(DataError, match="has no chat template"):
        split_row(bare, row(f"{TAG}", "flow", "red"))
