"""A row as token ids: head, context and tail of the prompt, and the answer that is scored.

Head and tail are what the prompt has in common whatever the context: it is tokenised with the context and with its tag,
and the common beginning and end are taken. Tokens that join letters of both sides belong to the context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from irctl.data.contexts.prompts import TAG
from irctl.data.contexts.rows import ASSISTANT, ContextRow, Message
from irctl.errors import DataError


@dataclass(frozen=True)
class Split:
    """Token ids. head + context + tail are those of the whole prompt; answer ends with the token that ends a turn."""

    head: tuple[int, ...]
    context: tuple[int, ...]
    tail: tuple[int, ...]
    answer: tuple[int, ...] = ()


def split_row(tokenizer: Any, row: ContextRow, *, chat_template: bool = True, answer: str | None = None) -> Split:
    """The row's token ids. answer: what is scored, in place of the row's first; "" for none (generation).

    chat_template: false for plain text, which some evaluations of a chat model take.
    Raises DataError where the tokenizer has no chat template, or none that ends in the answer.
    """
    wanted = row.answers[0] if answer is None else answer
    with_tag = render(tokenizer, row.messages, chat_template)
    place = with_tag.index(TAG)
    text = with_tag[:place] + row.context + with_tag[place + len(TAG) :]
    head, context, tail = split_prompt(_ids(tokenizer, with_tag), _ids(tokenizer, text))
    if not wanted:
        return Split(head, context, tail)
    whole = render(tokenizer, (*row.messages, (ASSISTANT, wanted)), chat_template)
    whole = whole[:place] + row.context + whole[place + len(TAG) :] if whole.startswith(with_tag[:place]) else ""
    return Split(head, context, tail, _answer_ids(tokenizer, text, whole, (*head, *context, *tail), wanted))


def split_prompt(
    with_tag: Sequence[int], with_context: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """(head, context, tail) of two lists of ids that differ in the middle; together they are the second."""
    shorter = min(len(with_tag), len(with_context))
    head = 0
    while head < shorter and with_tag[head] == with_context[head]:
        head += 1
    tail = 0
    while tail < shorter - head and with_tag[-1 - tail] == with_context[-1 - tail]:
        tail += 1
    end = len(with_context) - tail
    return tuple(with_context[:head]), tuple(with_context[head:end]), tuple(with_context[end:])


def render(tokenizer: Any, messages: Sequence[Message], chat_template: bool) -> str:
    """Messages as the model reads them, ready for its answer unless the last is one."""
    is_answered = messages[-1][0] == ASSISTANT
    if not chat_template:
        text = (tokenizer.bos_token or "") + "\n".join(content for _, content in messages)
        return text + (tokenizer.eos_token or "" if is_answered else "\n")
    if not getattr(tokenizer, "chat_template", None):
        raise DataError(
            f"{getattr(tokenizer, 'name_or_path', 'the tokenizer')}: has no chat template",
            hint="Use --set acerag.chat_template=false",
        )
    turns = [{"role": role, "content": content} for role, content in messages]
    rendered: str = tokenizer.apply_chat_template(
        turns,
        tokenize=False,
        add_generation_prompt=not is_answered,
        enable_thinking=False,  # read by templates that have it
    )
    return rendered


def _answer_ids(tokenizer: Any, text: str, whole: str, prompt: tuple[int, ...], answer: str) -> tuple[int, ...]:
    """What follows the prompt: by the ids of the whole where it begins with the prompt's, else of the rest alone.

    A tokenizer that joins letters over the boundary would otherwise take the answer's first letters away.
    """
    ids = _ids(tokenizer, whole)
    if tuple(ids[: len(prompt)]) == prompt and len(ids) > len(prompt):
        rest = ids[len(prompt) :]
    elif whole.startswith(text) and len(whole) > len(text):
        rest = _ids(tokenizer, whole[len(text) :])
    else:  # a template that changes the prompt once it is answered
        rest = [*_ids(tokenizer, answer), *([tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else [])]
    end = tokenizer.eos_token_id
    if end in rest:  # templates add a line end behind it, which nobody generates
        rest = rest[: rest.index(end) + 1]
    elif end is not None:
        rest = [*rest, end]
    return tuple(rest)


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
