"""Training and evaluation rows with a context: the formats that compressive encoders are trained and judged on.

Read one at a time out of a JSON array or JSON lines; the data set's name is the file's, without its ending.

| record | is |
|---|---|
| `text` | a text alone, for pre-training |
| `conversations` | a chat whose first message has `prompt`, with the tag, and `context`; its last is the answer |
| `query`, `key`, `answers` | a question and its passages, best first; the context is the first five |
| `input`, `context`, `answers` (`all_classes`) | a task over a long context |
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irctl.data.contexts.prompts import TAG, Words
from irctl.data.files.json_records import read_records
from irctl.data.files.lines import line_error, stem

PASSAGES = 5
"""How many of a question's passages make its context."""
USER, ASSISTANT = "user", "assistant"

Message = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class TextRow:
    """A text for pre-training. id: of its content, so that it is drawn for alike wherever it stands."""

    id: str
    dataset: str
    line: int
    text: str

    @property
    def group(self) -> str:
        """Rows of one group are held out together: here the text."""
        return self.id


@dataclass(frozen=True, kw_only=True)
class ContextRow:
    """messages: (role, text) up to the one that is answered; the first has the tag. passages: those that the context
    is made of, where it is. answers: any of them is right. classes: of a classification.
    """

    id: str
    dataset: str
    line: int
    messages: tuple[Message, ...]
    context: str
    answers: tuple[str, ...]
    classes: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """Rows of one group are held out together: those of one context."""
        return _id(self.context)


Row = TextRow | ContextRow


def read_rows(path: Path, words: Words, *, passages: int = PASSAGES) -> Iterator[Row]:
    """The rows of a file. Raises DataError with file:line for a record of no format above, or a wrong field."""
    dataset = stem(path)
    for line, record in read_records(path):
        if "conversations" in record:
            yield _conversation(path, line, dataset, record)
        elif "key" in record:
            yield _question(path, line, dataset, record, words, passages)
        elif "context" in record:
            yield _task(path, line, dataset, record, words)
        elif "text" in record:
            text = _text(path, line, record, "text")
            yield TextRow(id=_id(dataset, text), dataset=dataset, line=line, text=text)
        else:
            raise line_error(path, line, "text, conversations, key or context", ", ".join(record) or "no field")


def join_passages(passages: tuple[str, ...]) -> str:
    """The context that passages make."""
    return "".join(label_passage(i) + text for i, text in enumerate(passages, 1))


def label_passage(number: int) -> str:
    """What stands before a passage of a context, the first of which is number 1."""
    return ("" if number == 1 else "\n\n") + f"Doc {number}: "


def _conversation(path: Path, line: int, dataset: str, record: dict[str, Any]) -> ContextRow:
    turns = record["conversations"]
    if not isinstance(turns, list) or len(turns) < 2 or not all(isinstance(t, dict) for t in turns):
        raise line_error(path, line, "conversations of two messages or more", turns)
    roles = [t.get("role") for t in turns]
    if roles[0] != USER or roles[-1] != ASSISTANT:
        raise line_error(path, line, "a conversation from user to assistant", ", ".join(map(str, roles)))
    prompt = _text(path, line, turns[0], "prompt")
    if prompt.count(TAG) != 1:
        raise line_error(path, line, f"{TAG} once in prompt", f"{prompt.count(TAG)} times")
    context = _text(path, line, turns[0], "context", may_be_empty=True)
    between = [(str(t["role"]), _text(path, line, t, "content")) for t in turns[1:-1]]
    answer = _text(path, line, turns[-1], "content")
    return ContextRow(
        id=_id(dataset, prompt, context, *(text for _, text in between), answer),
        dataset=dataset,
        line=line,
        messages=((USER, prompt), *between),
        context=context,
        answers=(answer,),
    )


def _question(path: Path, line: int, dataset: str, record: dict[str, Any], words: Words, passages: int) -> ContextRow:
    query = _text(path, line, record, "query")
    kept = _texts(path, line, record, "key")[:passages]
    answers = _texts(path, line, record, "answers")
    return ContextRow(
        id=_id(dataset, query, *kept, *answers),
        dataset=dataset,
        line=line,
        messages=((USER, words.ask(dataset, query)),),
        context=join_passages(kept),
        answers=answers,
        classes=_texts(path, line, record, "all_classes") if record.get("all_classes") else (),
        passages=kept,
    )


def _task(path: Path, line: int, dataset: str, record: dict[str, Any], words: Words) -> ContextRow:
    asked = _text(path, line, record, "input", may_be_empty=True)
    context = _text(path, line, record, "context", may_be_empty=True)
    answers = _texts(path, line, record, "answers")
    return ContextRow(
        id=_id(dataset, asked, context, *answers),
        dataset=dataset,
        line=line,
        messages=((USER, words.ask(dataset, asked)),),
        context=context,
        answers=answers,
        classes=_texts(path, line, record, "all_classes") if record.get("all_classes") else (),
    )


def _text(path: Path, line: int, record: dict[str, Any], name: str, *, may_be_empty: bool = False) -> str:
    value = record.get(name)
    if not isinstance(value, str) or not (value.strip() or may_be_empty):
        raise line_error(path, line, f"a text as {name}", repr(value))
    return value


def _texts(path: Path, line: int, record: dict[str, Any], name: str) -> tuple[str, ...]:
    value = record.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v.strip() for v in value):
        raise line_error(path, line, f"a list of texts as {name}", repr(value))
    return tuple(value)


def _id(*texts: str) -> str:
    """Of the content: a copy in another place is the same row, and its draws are the same."""
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
