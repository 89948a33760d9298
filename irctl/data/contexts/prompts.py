"""What a language model is asked about a context, and what its encoder is told to keep: the words, by data set.

The words are irctl's own. Encoders that others released were trained on other words: acerag.instructions=FILE.json
gives theirs, {"encoder": {name: text}, "question": {name: text}}, either may be absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from irctl import tables
from irctl.errors import ConfigError

TAG = "[CONTEXT_RmehNsY1]"
"""Where the context goes in a prompt; no token, it never reaches a model."""
INPUT_TAG = "[INPUT_RmehNsY1]"

GROUPS = {
    "qa": "hotpotqa 2wikimqa musique nq popqa trivia triviaqa rag-qa".split(),
    "summary": "multi_news gov_report billsum".split(),
    "examples": "trec_fine banking77 clinc150".split(),
    "choice": "arc_easy arc_challenge piqa social_i_qa".split(),
}
"""Data sets that share their words; others have no instruction."""
NONE = ("longalpaca", "redpajama", "recall", "recall-train", "recall-text")
"""Data sets known to have no instruction."""
ENCODER = {
    "qa": "Answer the question by the documents. Give the answer alone, in a few words.\n",
    "summary": "Summarize the documents.\n",
    "examples": "Keep what the examples show: which texts have which label.\n",
    "choice": "Keep the facts that decide a question.\n",
}
QUESTION = {
    "qa": ENCODER["qa"] + f"\n{TAG}\n\nQuestion: {INPUT_TAG}\nAnswer:",
    "summary": f"Summarize the documents on one page.\n\n{TAG}\n\nSummary:",
    "examples": f"Give the label of the last text as the examples have it.\n\n{TAG}\n{INPUT_TAG}",
    "choice": f"{TAG}\n\n{INPUT_TAG}\nGive the letter of the right answer.",
    "": f"{TAG}\n\n{INPUT_TAG}",
}


@dataclass(frozen=True)
class Words:
    """Instructions by data set name, in front of what the encoder reads, and questions, in which tags are filled."""

    encoder: Mapping[str, str] = field(default_factory=dict)
    question: Mapping[str, str] = field(default_factory=dict)

    def instruction(self, dataset: str) -> str:
        """What the encoder is told for this data set; empty where it has none."""
        return self.encoder.get(dataset, ENCODER.get(group_of(dataset), ""))

    def ask(self, dataset: str, text: str) -> str:
        """The prompt for one input, with the tag of the context in it."""
        template = self.question.get(dataset, QUESTION[group_of(dataset)])
        return template.replace(INPUT_TAG, text)


def group_of(dataset: str) -> str:
    """Which words a data set has: a key of GROUPS, or empty."""
    return next((group for group, names in GROUPS.items() if dataset in names), "")


def is_known(dataset: str) -> bool:
    """Whether somebody decided which words a data set has."""
    return bool(group_of(dataset)) or dataset in NONE


def read(path: str) -> Words:
    """The words of acerag.instructions; irctl's own where it is empty. Raises DataError or ConfigError."""
    if not path:
        return Words()
    found = tables.json_object(Path(path))
    tables.check(found, {"encoder?": {"*": str}, "question?": {"*": str}}, path)
    words = Words(found.get("encoder", {}), found.get("question", {}))
    for name, text in words.question.items():
        if text.count(TAG) != 1:
            raise ConfigError(f"{path}: question.{name}: expected {TAG} once, found it {text.count(TAG)} times")
    return words
