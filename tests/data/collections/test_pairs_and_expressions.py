"""Files of training pairs, and the small expressions of source rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import folders
import pytest

from irctl.data.collections.open import open_collection
from irctl.data.judgements.expressions import compile_expression
from irctl.errors import ConfigError, DataError


@pytest.mark.parametrize("text", ["grade.__class__", "open('x')", "[g for g in (1,)]", "lambda: 1", "grade ** 2", "x"])
def test_expressions_allow_only_what_is_listed(text: str) -> None:
    with pytest.raises(ConfigError, match="is not allowed in an expression"):
        compile_expression(text, "here")


def test_expressions_compute_what_python_would() -> None:
    for text in (
        "1 if grade >= 2 else 0",
        "min(grade, 2) * 3 - 1",
        "qid in ('a', 'b') and 1 <= grade < 3",
        "-grade // 2",
    ):
        run = compile_expression(text, "here")
        for grade in (0.0, 1.0, 2.0, 3.0):
            assert run(grade, "a", "d") == eval(text, {"grade": grade, "qid": "a", "min": min})  # noqa: S307


def test_pairs_become_a_collection_of_their_distinct_texts(tmp_path: Path) -> None:
    rows = [
        {"query": "a", "positive": "x", "negative": "y"},
        {"query": "b", "positive": "x"},
        {"query": "a", "positive": "y", "negative": None},
    ]
    (tmp_path / "train.json").write_text(json.dumps(rows, indent=1))
    folders.jsonl(tmp_path / "train.jsonl", rows)
    table = "".join("\t".join(v for v in r.values() if v) + "\n" for r in rows)
    triples = open_collection(str(folders.write(tmp_path / "triples.tsv", table)))
    assert triples.qrels("train") == {"q0": {"p0": 1, "p1": 1}, "q1": {"p0": 1}}
    array, lines = open_collection(str(tmp_path / "train.json")), open_collection(str(tmp_path / "train.jsonl"))
    assert array.qrels("train") == lines.qrels("train") == {"q0": {"p0": 1, "p1": 1}, "q1": {"p0": 1}}
    assert array.corpus.texts(slice(None)) == ["x", "y"] and array.fingerprint == lines.fingerprint


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"query": "a", "positive": "a"}, "that is not the query"),
        ({"query": "a", "positive": "b", "negative": "b"}, "that is not the positive"),
        ({"query": "a", "positive": None}, "a text as positive, found None"),
        ({"query": " ", "positive": "b"}, "a text as query"),
    ],
)
def test_wrong_pairs_are_named_with_their_line(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps([{"query": "ok", "positive": "fine"}, row]).replace("}, {", "},\n{"))
    with pytest.raises(DataError, match="train.json:2: expected .*" + message):
        open_collection(str(path))
    path.write_text('[{"query": "a", "positive": "b"},\n{"query": ')
    with pytest.raises(DataError, match=r"train.json:2: expected an object or the end"):
        open_collection(str(path))


def test_rows_of_another_kind_are_told_what_a_file_holds_and_where_passages_stand(tmp_path: Path) -> None:
    folders.jsonl(tmp_path / "key.jsonl", [{"query": "a", "key": ["passage"], "answers": ["b"]}])
    with pytest.raises(
        DataError, match=r"key.jsonl:1: expected a record of query and positive, found query, key, a"
    ) as e:
        open_collection(str(tmp_path / "key.jsonl"))
    assert "training pairs" in e.value.hint and "a folder with corpus.jsonl" in e.value.hint


def test_dev_json_beside_train_json_is_its_split_dev_over_the_texts_of_both(tmp_path: Path) -> None:
    folders.jsonl(tmp_path / "my_train.jsonl", [{"query": "a", "positive": "x", "negative": "y"}])
    assert open_collection(str(tmp_path / "my_train.jsonl")).splits() == ("train",)
    folders.jsonl(tmp_path / "my_dev.jsonl", [{"query": "b", "positive": "z", "negative": "x"}])
    both = open_collection(str(tmp_path / "my_train.jsonl"))
    assert both.splits() == ("train", "dev") and both.card.headline_split == "dev"
    assert both.qrels("train") == {"q0": {"p0": 1, "p1": 0}} and both.qrels("dev") == {"q1": {"p2": 1, "p0": 0}}
    folders.jsonl(tmp_path / "my_dev.jsonl", [{"query": "c", "positive": "z"}, {"query": "a", "positive": "z"}])
    with pytest.raises(DataError, match=r"my_dev.jsonl:2: expected a query that is not trained on, found a"):
        open_collection(str(tmp_path / "my_train.jsonl"))
