"""Every key of a training configuration x every wrong type: one line: file, source, key, expected, found."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import folders
import pytest

from irctl.data.collections import mqrel
from irctl.data.collections.mqrel_config import SourceSpec
from irctl.data.collections.open import open_collection
from irctl.data.collections.source_tables import IGNORED
from irctl.data.groups.group_source import GroupSettings
from irctl.data.judgements.expressions import compile_expression
from irctl.data.judgements.source_rules import KINDS, SourceRules
from irctl.errors import ConfigError, DataError

DEEP: list[Any] = []
for _ in range(800):
    DEEP = [DEEP]

NUMBERS = {"whole": 3, "negative": -1, "fraction": 1.5, "zero": 0}
BEYOND = {"nan": float("nan"), "infinity": float("inf"), "400 digits": 10**400}
TEXTS = {"text": "x", "empty text": ""}
OTHERS = {"true": True, "list": ["x"], "empty list": [], "list of a number": [3], "table": {"a": 1}, "empty table": {}}
OTHERS |= {"nested": DEEP}
ALL = NUMBERS | BEYOND | TEXTS | OTHERS
PATH = (
    NUMBERS | BEYOND | {k: OTHERS[k] for k in OTHERS if k not in ("list", "empty list")} | {"no text": "", "nul": "\0"}
)
NUMBER = TEXTS | OTHERS | BEYOND
COUNT = NUMBER | {k: NUMBERS[k] for k in ("negative", "fraction", "zero")}

WRONG: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("qrel_path", "query_path", "corpus_path", "query_subset_path"), PATH),
    "source": NUMBERS | BEYOND | OTHERS,
    "weight": NUMBER | {k: NUMBERS[k] for k in ("negative", "zero")},
    **dict.fromkeys(("min_score", "max_score"), NUMBER),
    **dict.fromkeys(("filter", "label"), ALL),
    **dict.fromkeys(("filter_fn", "group_filter_fn"), ALL),
    **dict.fromkeys(("group_top_k", "group_bottom_k", "group_first_k", "group_random_k"), COUNT),
    "score_transform": NUMBER,
}
CASES = [(key, kind) for key, values in WRONG.items() for kind in values]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    folders.jsonl(folder / "d.jsonl", [{"_id": "d1", "text": "a document"}])
    folders.jsonl(folder / "q.jsonl", [{"_id": "q1", "text": "a query"}])
    folders.write(folder / "r.tsv", "q1\td1\t1\n")
    return folder


BASE = {"qrel_path": "r.tsv", "query_path": "q.jsonl", "corpus_path": "d.jsonl"}


def opened(path: Path, text: str) -> None:
    path.write_text(text)
    source = mqrel.open_mqrel(path)
    source.describe()
    source.groups(GroupSettings(group_size=0, selection="file")).group(0, 0)


def test_the_table_has_every_key_of_the_format() -> None:
    keys = {*SourceSpec.__dataclass_fields__, *SourceRules.__dataclass_fields__} - {"rules", "where"}
    assert set(WRONG) == keys and set(KINDS) == set(SourceRules.__dataclass_fields__)


@pytest.mark.parametrize(("key", "kind"), CASES, ids=[f"{k} {kind}" for k, kind in CASES])
def test_a_value_of_a_wrong_type_names_file_source_key_expected_and_found(toy: Path, key: str, kind: str) -> None:
    path = toy / "wrong.json"
    with pytest.raises(ConfigError) as raised:
        opened(path, json.dumps({"mqrel": [BASE, BASE | {key: WRONG[key][kind]}]}, indent=1))
    said = raised.value.message
    assert said.startswith(f"{path}:") and "mqrel[1]" in said and key in said and len(said) < 400
    expression = ("expected", "not an expression", "not allowed in an expression")
    assert any(words in said for words in (expression if key in ("filter", "label") else expression[:1])), said


@pytest.mark.parametrize(("key", "value"), product(("mqrel", "pos_mqrel", "on_conflict"), ALL))
def test_a_top_key_of_a_wrong_type_is_one_line(toy: Path, key: str, value: str) -> None:
    if (key, value) == ("on_conflict", "empty text"):
        return opened(toy / "unsaid.json", json.dumps({"mqrel": [BASE], key: ""}))
    with pytest.raises((ConfigError, DataError)) as raised:
        opened(toy / "wrong.json", json.dumps({"mqrel": [BASE]} | {key: ALL[value]}))
    assert str(toy / "wrong.json") in str(raised.value) and key in str(raised.value) and len(str(raised.value)) < 400


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('filter_fn = "f"', "t.toml:5: mqrel[0]: filter_fn: expected a function, which only Python can give; a file"),
        ("group_filter_fn = {a = 1}", "group_filter_fn: expected a function, which only Python can give; a file has"),
        ("label = 3", "label: expected an expression in quotes"),
        ("filter = true", "filter: expected an expression in quotes, such as 'grade >= 2', found true"),
        ('min_score = ["1"]', "min_score: expected a number, found a list"),
        ("corpus_path = 1979-05-27", "mqrel[0].corpus_path: expected a path or a list of paths, found date"),
        ("min_score = inf", "min_score: expected a number, found inf"),
    ],
)
def test_toml_is_refused_with_its_line_too(toy: Path, line: str, said: str) -> None:
    lines = [f'{k} = "{v}"' for k, v in BASE.items() if not line.startswith(k)]
    with pytest.raises(ConfigError) as raised:
        opened(toy / "t.toml", "\n".join(["[[mqrel]]", *lines, line]))
    assert said in str(raised.value)


@pytest.mark.parametrize("key", [*WRONG, *IGNORED])
def test_null_says_nothing_as_if_the_key_were_absent(toy: Path, key: str) -> None:
    text = json.dumps({"mqrel": [BASE, BASE | {key: None}], "on_conflict": None})
    if key in ("query_path", "corpus_path"):
        with pytest.raises(ConfigError, match=rf"mqrel\[1\]: no {key}"):
            opened(toy / "null.json", text)
    else:
        opened(toy / "null.json", text)


def test_an_empty_configuration_names_the_keys_it_lacks(toy: Path) -> None:
    with pytest.raises(ConfigError, match=r"wrong.json: no mqrel, and no pos_mqrel with neg_mqrel"):
        opened(toy / "wrong.json", "{}")


@pytest.mark.parametrize(
    ("key", "name"), product(("qrel_path", "query_path", "corpus_path", "query_subset_path"), ("no.tsv", "x" * 5000))
)
def test_a_file_that_is_not_there_is_named_with_its_key(toy: Path, key: str, name: str) -> None:
    with pytest.raises(DataError) as raised:
        opened(toy / "absent.json", json.dumps({"mqrel": [BASE | {key: name}]}))
    assert f"{name}: no such file. mqrel[0].{key} of absent names it" in str(raised.value)


@pytest.mark.parametrize("text", ["not " * 5000 + "grade", "+".join(["grade"] * 5000), "(" * 5000, "9" * 5000, "\0"])
def test_an_expression_that_no_one_wrote_by_hand_is_one_short_line(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        compile_expression(text, "c.json:1: filter")(1.0, "q", "d")
    assert str(raised.value).startswith("c.json:1: filter: ") and len(str(raised.value)) < 400


@pytest.mark.parametrize(
    ("key", "kind"), [(k, kind) for k in BASE for kind in PATH if kind not in ("list of a number",)]
)
def test_an_evaluation_file_with_a_wrong_path_names_set_key_and_what_was_found(toy: Path, key: str, kind: str) -> None:
    (toy / "eval.json").write_text(json.dumps({"one": BASE | {key: PATH[kind]}, "two": {"dev": BASE | {key: [3, 4]}}}))
    for name, found in ("one", ""), ("two", "a list"):
        with pytest.raises(ConfigError) as raised:
            open_collection(f"{toy}/eval.json:{name}")
        assert f"eval.json: {name}" in str(raised.value) and f".{key}: expected one path, found {found}" in str(
            raised.value
        )


@pytest.mark.parametrize("kind", [k for k in ALL if k != "table"])
def test_a_set_or_split_of_an_evaluation_file_of_a_wrong_type_is_one_line(toy: Path, kind: str) -> None:
    (toy / "eval.json").write_text(json.dumps({"one": ALL[kind], "two": {"dev": ALL[kind]}}))
    with pytest.raises(ConfigError, match=r"eval.json: one: expected an object of qrel_path, .* or of splits, found"):
        open_collection(f"{toy}/eval.json:one")
    said = "no qrel_path" if kind == "empty table" else "expected an object of qrel_path"
    with pytest.raises(ConfigError, match=rf"eval.json: two.dev: {said}"):
        open_collection(f"{toy}/eval.json:two")


@pytest.mark.parametrize(("key", "name"), product(BASE, ("no.tsv", "x" * 5000)))
def test_a_file_of_an_evaluation_set_that_is_not_there_is_named_with_its_key(toy: Path, key: str, name: str) -> None:
    (toy / "eval.json").write_text(json.dumps({"one": {"dev": BASE | {key: name}}}))
    collection = open_collection(f"{toy}/eval.json:one")
    with pytest.raises(DataError) as raised:
        collection.qrels("dev"), collection.queries("dev"), collection.corpus
    assert f"{name}: no such file. {key} of dev names it" in str(raised.value)
