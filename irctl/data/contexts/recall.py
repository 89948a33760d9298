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
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'assistant' %} {{ m.content }} " + EOS + "{% else %}"
    "{% if loop.first %}" + BOS + " {% else %} {% endif %}{{ m.content }}{% endif %}{% endfor %}"
)
"""A chat template: the words of a turn follow those before it, an answer ends in EOS."""

Numbers = NDArray[np.int64]


def words() -> list[str]:
    """Every word of the task, special ones first."""
    values = [value_word(k, v) for k in range(KEYS) for v in range(VALUES)]
    return [UNKNOWN, BOS, EOS, *values, *(f"n{i}" for i in range(NOISE)), *(question_word(k) for k in range(KEYS))]


def value_word(key: int, value: int) -> str:
    return f"k{key}v{value}"


def question_word(key: int) -> str:
    return f"k{key}?"


def draw(count: int, *parts: object) -> tuple[list[list[str]], Numbers, Numbers]:
    """(words of each context, the values of its keys [N, K], the keys asked for [N, Q]), by the parts."""
    generator = draws.generator(NAME, *parts)
    values_NK = generator.integers(0, VALUES, (count, KEYS))
    noise_Nn = generator.integers(0, NOISE, (count, NOISE))
    contexts = [
        [*(value_word(k, v) for k, v in enumerate(values)), *(f"n{i}" for i in noise)]
        for values, noise in zip(values_NK.tolist(), noise_Nn.tolist(), strict=True)
    ]
    orders = [generator.permutation(KEYS + NOISE) for _ in range(count)]
    shuffled = [[c[i] for i in order] for c, order in zip(contexts, orders, strict=True)]
    asked_NQ = np.stack([generator.permutation(KEYS)[:QUESTIONS] for _ in range(count)])
    return shuffled, values_NK, asked_NQ


def rows(count: int, *parts: object) -> Iterator[dict[str, Any]]:
    """Records of conversations, QUESTIONS a context."""
    contexts, values_NK, asked_NQ = draw(count, *parts)
    for context, values, asked in zip(contexts, values_NK, asked_NQ, strict=True):
        text = " ".join(context)
        for key in asked.tolist():
            prompt = f"{TAG} {question_word(key)}"
            content = prompt.replace(TAG, text)
            yield {
                "conversations": [
                    {"role": "user", "content": content, "prompt": prompt, "context": text},
                    {"role": "assistant", "content": value_word(key, int(values[key]))},
                ]
            }


def texts(count: int, *parts: object) -> Iterator[dict[str, str]]:
    """Records of text for pre-training: a context, and all its questions answered."""
    contexts, values_NK, asked_NQ = draw(count, *parts)
    for context, values, asked in zip(contexts, values_NK, asked_NQ, strict=True):
        yield {"text": " ".join([*context, *(w for k in asked.tolist() for w in answered(k, int(values[k])))])}


def answered(key: int, value: int) -> list[str]:
    """The words of a question and its answer."""
    return [question_word(key), value_word(key, value), EOS]


def write(folder: Path, *, train: int, test: int, seed: int) -> dict[str, int]:
    """train, test and text files of so many contexts, as JSON lines; the rows of each."""
    made = {
        "recall-train.json": rows(train, seed, "train"),
        "recall.json": rows(test, seed, "test"),
        "recall-text.json": texts(train, seed, "text"),
    }
    counts = {}
    for name, records in made.items():
        with (folder / name).open("w") as file:
            counts[name] = sum(1 for record in records if file.write(json.dumps(record) + "\n"))
    return counts
