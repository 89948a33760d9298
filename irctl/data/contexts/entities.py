"""The entities task: made-up names, a passage of English sentences about each, and questions about one attribute.

Every attribute has value words of its own, which a small model learns in minutes. A name is an unknown word to that
model: which passage is about a name is for retrieval to find. Names of a part (train, test) are of no other.

Dimension key: N entities, A attributes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from irctl.data import draws
from irctl.data.contexts.prompts import INPUT_TAG, TAG, Words
from irctl.data.contexts.recall import BOS, EOS, UNKNOWN
from irctl.data.contexts.rows import join_passages

NAME = "entities"
ATTRIBUTES = {
    "colour": "red blue green yellow white black purple orange",
    "city": "Oslo Lima Cairo Delhi Paris Quito Hanoi Dakar",
    "metal": "iron gold copper silver zinc tin lead nickel",
    "animal": "horse otter eagle shark camel tiger raven goat",
    "fruit": "apple plum cherry melon grape lemon mango fig",
    "craft": "weaving pottery carving painting baking printing mining fishing",
    "season": "spring summer autumn winter monsoon harvest carnival thaw",
    "tool": "hammer saw chisel plough needle shovel anvil ladder",
}
"""What an entity has, and the eight words that each may be."""
VALUES = 8
QUESTIONS = 4
"""Questions about an entity that is trained on, each about another attribute."""
ONSETS = "b br d dr f fl g gr h k kl l m n p pr r s st t tr v z".split()
VOWELS, CODAS = "a e i o u".split(), ["", "l", "n", "r", "s", "m", "x", "nd", "rk", "lt"]
PARTS = r"\w+\??|[^\w\s]"
"""What is a word: punctuation stands apart, but for the mark of a question, which goes with what is asked for. A model
of two layers learns in minutes to answer right after that word, and not some words later.
"""
WORDS = {"encoder": {"rag-qa": ""}, "question": {"rag-qa": f"{TAG}\n\nQuestion: {INPUT_TAG}"}}
"""acerag.instructions of this task."""


@dataclass(frozen=True)
class Entity:
    """values: by attribute. order: of the sentences about it."""

    name: str
    values: dict[str, str]
    order: tuple[str, ...]

    @property
    def passage(self) -> str:
        """One sentence an attribute; the first names the entity."""
        first, *others = self.order
        said = [f"The {first} of {self.name} is {self.values[first]}."]
        return " ".join([*said, *(f"Its {a} is {self.values[a]}." for a in others)])

    def question(self, attribute: str) -> str:
        return f"What is {self.name}'s {attribute}?"


def ask(question: str) -> str:
    """The prompt for a question, with the tag of the context in it."""
    return Words(**WORDS).ask("rag-qa", question)


def draw(count: int, *parts: object, without: Collection[str] = ()) -> Iterator[Entity]:
    """Entities by the parts, no two of one name. without: names that are not given."""
    generator = draws.generator(NAME, *parts)
    attributes = list(ATTRIBUTES)
    values_NA = generator.integers(0, VALUES, (count, len(attributes)))
    orders_NA = generator.permuted(np.tile(np.arange(len(attributes)), (count, 1)), axis=1)
    names = set(without)
    for drawn, order in zip(values_NA, orders_NA, strict=True):
        while (name := _name(generator)) in names:
            pass
        names.add(name)
        values = {a: ATTRIBUTES[a].split()[v] for a, v in zip(attributes, drawn, strict=True)}
        yield Entity(name, values, tuple(attributes[i] for i in order))


def _name(generator: np.random.Generator) -> str:
    pieces = [str(generator.choice(of)) for _ in range(3) for of in (ONSETS, VOWELS)]
    return ("".join(pieces) + str(generator.choice(CODAS))).capitalize()


def words() -> list[str]:
    """Every word of the task but the names, special ones first; an attribute that is asked for has its own."""
    said = ask("What is 's").replace(TAG, join_passages(("The of is . Its",)))
    values = [v for of in ATTRIBUTES.values() for v in of.split()]
    asked = [f"{a}?" for a in ATTRIBUTES]
    return [UNKNOWN, BOS, EOS, *dict.fromkeys([*re.findall(PARTS, said), *ATTRIBUTES, *asked, *values])]


def texts(count: int, *parts: object) -> Iterator[str]:
    """A passage in a prompt each, and one question after the other about all attributes, each answered."""
    generator = draws.generator(NAME, "questions", *parts)
    for entity in draw(count, *parts):
        asked = [list(ATTRIBUTES)[i] for i in generator.permutation(len(ATTRIBUTES))]
        turns = " ".join(f"{ask(entity.question(a))} {entity.values[a]} {EOS}".replace(TAG, "") for a in asked)
        yield f"{join_passages((entity.passage,))} {turns}"


def rows(count: int, *parts: object, without: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """Records of questions, each with the one passage that answers it."""
    generator = draws.generator(NAME, "questions", *parts)
    for entity in draw(count, *parts, without=without):
        for i in generator.permutation(len(ATTRIBUTES))[:QUESTIONS].tolist():
            asked = list(ATTRIBUTES)[i]
            yield {"query": entity.question(asked), "key": [entity.passage], "answers": [entity.values[asked]]}
