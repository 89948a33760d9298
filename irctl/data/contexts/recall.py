"""The recall task: contexts of facts and noise, and questions about one fact each; made from a seed, no file is needed.

A context has 32 words: for each of 16 keys one of its 8 values, and 16 words of noise, shuffled. A value is a word of
its key alone (`k3v5`), which a small model learns in a minute; binding a value to one of several names it does not. The
question `k3?` is answered by `k3v5`: one answer in eight is right without the context.

Dimension key: N contexts, K keys, Q questions about a context.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.data import draws
from irctl.data.contexts.prompts import TAG

KEYS, VALUES, NOISE = 16, 8, 16
QUESTIONS = 8
"""Questions about a context, each of another key."""
NAME = "recall"
BOS, EOS, UNKNOWN = "<s>", "</s>", "<unk>"
SPECIAL = 3
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'assistant' %} {{ m.content }} " + EOS + "{% else %}"
    "{% if loop.first %}" + BOS + " {% else %} {% endif %}{{ m.content }}{% endif %}{% endfor %}"
)
"""A chat template: the words of a turn follow those before it, an answer ends in EOS."""

Numbers = NDArray[np.int64]


def words() -> list[str]:
    """Every word of the task, special ones first."""
    values = [f"k{k}v{v}" for k in range(KEYS) for v in range(VALUES)]
    return [UNKNOWN, BOS, EOS, *values, *(f"n{i}" for i in range(NOISE)), *(f"k{k}?" for k in range(KEYS))]


def value_number(key: int | Numbers, value: int | Numbers) -> Any:
    """The place among `words` of a key's value."""
    return SPECIAL + key * VALUES + value


def question_number(key: int | Numbers) -> Any:
    """The place among `words` of the question for a key."""
    return SPECIAL + KEYS * VALUES + NOISE + key


def draw(count: int, *parts: object) -> tuple[Numbers, Numbers, Numbers]:
    """(contexts as numbers of words [N, 32], values of their keys [N, K], keys asked for [N, Q]), by the parts."""
    generator = draws.generator(NAME, *parts)
    values_NK = generator.integers(0, VALUES, (count, KEYS))
    facts_NK = value_number(np.arange(KEYS), values_NK)
    noise_Nn = SPECIAL + KEYS * VALUES + generator.integers(0, NOISE, (count, NOISE))
    contexts_NT = generator.permuted(np.concatenate([facts_NK, noise_Nn], axis=1), axis=1)
    asked_NQ = generator.permuted(np.tile(np.arange(KEYS), (count, 1)), axis=1)[:, :QUESTIONS]
    return contexts_NT, values_NK, asked_NQ


def answers(values_NK: Numbers, asked_NQ: Numbers) -> Numbers:
    """The number of the word that answers each question [N, Q]."""
    answered_NQ: Numbers = value_number(asked_NQ, np.take_along_axis(values_NK, asked_NQ, axis=1))
    return answered_NQ


def rows(count: int, *parts: object) -> Iterator[dict[str, Any]]:
    """Records of conversations, QUESTIONS a context."""
    contexts_NT, values_NK, asked_NQ = draw(count, *parts)
    known = words()
    for context, asked, right in zip(contexts_NT, asked_NQ, answers(values_NK, asked_NQ), strict=True):
        text = " ".join(known[i] for i in context)
        for key, answer in zip(asked.tolist(), right.tolist(), strict=True):
            prompt = f"{TAG} {known[question_number(key)]}"
            yield {
                "conversations": [
                    {"role": "user", "content": prompt.replace(TAG, text), "prompt": prompt, "context": text},
                    {"role": "assistant", "content": known[answer]},
                ]
            }


def texts(count: int, *parts: object) -> Iterator[str]:
    """Contexts with all their questions, each answered, an answer before EOS."""
    contexts_NT, values_NK, asked_NQ = draw(count, *parts)
    ends_NQ = np.full_like(asked_NQ, words().index(EOS))
    turns_NQ3 = np.stack([question_number(asked_NQ), answers(values_NK, asked_NQ), ends_NQ], axis=2)
    known = words()
    for numbers in np.concatenate([contexts_NT, turns_NQ3.reshape(count, -1)], axis=1):
        yield " ".join(known[i] for i in numbers)


def write(folder: Path, *, train: int, test: int, seed: int) -> dict[str, int]:
    """Files to train on, as prompts and as texts, to be tested on, and to choose settings on, of so many contexts.

    JSON lines; the rows of each. No two files are of one draw.
    """
    made = {
        "recall-train.json": rows(train, seed, "train"),
        "recall.json": rows(test, seed, "test"),
        "recall-dev.json": rows(test, seed, "dev"),
        "recall-text.json": ({"text": text} for text in texts(train, seed, "text")),
    }
    counts = {}
    for name, records in made.items():
        with (folder / name).open("w") as file:
            counts[name] = sum(1 for record in records if file.write(json.dumps(record) + "\n"))
    return counts
