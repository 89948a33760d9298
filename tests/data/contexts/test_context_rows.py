"""Every format is read, every wrong field is told with its line, and rows are known by their content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from irctl.data.contexts import prompts
from irctl.data.contexts.prompts import TAG, Words
from irctl.data.contexts.rows import ContextRow, TextRow, read_rows
from irctl.errors import ConfigError, DataError

CHAT = {
    "conversations": [
        {"role": "user", "content": "unused", "prompt": f"{TAG}\nwhich?", "context": "a wing"},
        {"role": "assistant", "content": "this"},
        {"role": "user", "content": "sure?"},
        {"role": "assistant", "content": "yes"},
    ]
}
QUESTION = {"query": "who?", "key": [f"passage {i}" for i in range(1, 8)], "answers": ["he", "him"]}
TASK = {"input": "a text", "context": "examples", "answers": ["x"], "all_classes": ["x", "y"]}


def rows_of(folder: Path, name: str, records: list[Any], *, as_array: bool = False) -> list[Any]:
    path = folder / name
    text = json.dumps(records, indent=1) if as_array else "\n".join(map(json.dumps, records))
    path.write_text(text)
    return list(read_rows(path, Words()))


@pytest.mark.parametrize("as_array", [True, False])
def test_each_format_is_a_row(tmp_path: Path, as_array: bool) -> None:
    (text,) = rows_of(tmp_path, "redpajama.json", [{"text": "words"}], as_array=as_array)
    assert isinstance(text, TextRow) and text.text == "words" and text.dataset == "redpajama"
    (chat,) = rows_of(tmp_path, "longalpaca.json", [CHAT], as_array=as_array)
    assert isinstance(chat, ContextRow) and chat.context == "a wing" and chat.answers == ("yes",)
    assert [role for role, _ in chat.messages] == ["user", "assistant", "user"]
    (question,) = rows_of(tmp_path, "nq.json", [QUESTION], as_array=as_array)
    assert question.context == "\n\n".join(f"Doc {i}: passage {i}" for i in range(1, 6))
    assert question.answers == ("he", "him") and len(question.passages) == 5
    assert question.messages[0][1].count(TAG) == 1 and "Question: who?" in question.messages[0][1]
    (task,) = rows_of(tmp_path, "trec_fine.json", [TASK], as_array=as_array)
    assert task.classes == ("x", "y") and task.context == "examples" and "a text" in task.messages[0][1]


def test_a_row_is_known_by_its_content_wherever_it_stands(tmp_path: Path) -> None:
    first, second, third = rows_of(tmp_path, "nq.json", [QUESTION, {**QUESTION, "query": "when?"}, QUESTION])
    assert first.id == third.id != second.id and (first.line, third.line) == (1, 3)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"words": 1}, ":1: expected text, conversations, key or context, found words"),
        ({"text": " "}, "expected a text as text, found ' '"),
        ({**QUESTION, "key": []}, r"expected a list of texts as key, found \[\]"),
        ({**QUESTION, "answers": [None]}, "expected a list of texts as answers"),
        ({"conversations": CHAT["conversations"][:1]}, "conversations of two messages or more"),
        ({"conversations": CHAT["conversations"][1:3]}, "a conversation from user to assistant"),
        (
            {"conversations": [{**CHAT["conversations"][0], "prompt": "no tag"}, CHAT["conversations"][1]]},
            "once in prompt, found 0 times",
        ),
    ],
)
def test_a_wrong_record_is_told_with_its_line(tmp_path: Path, record: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        rows_of(tmp_path, "nq.json", [record])


def test_instructions_are_by_data_set_and_a_file_replaces_them(tmp_path: Path) -> None:
    own = Words()
    assert own.instruction("hotpotqa") == own.instruction("nq") != own.instruction("billsum") != ""
    assert own.instruction("longalpaca") == own.instruction("mine") == ""
    assert prompts.is_known("longalpaca") and not prompts.is_known("mine")
    file = tmp_path / "words.json"
    file.write_text(json.dumps({"encoder": {"nq": "Compress."}, "question": {"nq": f"{TAG} ? [INPUT_RmehNsY1]"}}))
    given = prompts.read(str(file))
    assert given.instruction("nq") == "Compress." and given.instruction("popqa") == own.instruction("popqa")
    assert given.ask("nq", "who") == f"{TAG} ? who"
    file.write_text(json.dumps({"question": {"nq": "no tag"}}))
    with pytest.raises(ConfigError, match=r"question\.nq: expected"):
        prompts.read(str(file))
