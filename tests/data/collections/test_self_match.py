"""Queries that are documents: who decides whether they find themselves, and on what."""

from __future__ import annotations

from pathlib import Path

import folders
import pytest

from irctl.data.collections.check import check_folder
from irctl.data.collections.open import open_collection
from irctl.data.collections.self_match import decide_self_match


def twins(folder: Path, texts: dict[str, str], card: str = "") -> str:
    """Queries a, b, c of the texts `text of ...`, documents with these ids and the given texts."""
    folders.jsonl(folder / "corpus.jsonl", [{"_id": d, "title": "t", "text": t} for d, t in texts.items()])
    folders.jsonl(folder / "queries.jsonl", [{"_id": q, "text": f" text of {q}"} for q in "abc"])
    folders.write(folder / "qrels/test.tsv", "".join(f"{q}\tx\t1\n" for q in "abc"))
    if card:
        folders.write(folder / "card.toml", card)
    return str(folder)


def test_the_same_id_and_the_same_text_are_dropped_where_no_card_says_otherwise(tmp_path: Path) -> None:
    source = twins(tmp_path / "own", {"a": "text of a ", "b": "text of b", "x": "text of c"})
    found = decide_self_match(open_collection(source), "test", "")
    assert found.rule == "drop" and "own test: 2 of 3 queries are documents" in found.said
    assert decide_self_match(open_collection(source), "test", "keep") == ("keep", "")
    (tmp_path / "own/card.toml").write_text('self_match = "keep"\n')
    assert decide_self_match(open_collection(source), "test", "") == ("keep", "")


def test_ids_that_are_equal_by_accident_are_kept(tmp_path: Path) -> None:
    texts = {"a": "text of b", "b": "text of c", "c": "text of c", "x": "text of a"}
    found = decide_self_match(open_collection(twins(tmp_path / "own", texts, 'name = "n"\n')), "test", "")
    assert found.rule == "keep" and "2 share an id with another text" in found.said
    assert decide_self_match(open_collection("cranfield"), "test", "") == ("keep", "")


@pytest.mark.parametrize(
    ("texts", "card", "rule"),
    [
        ({"a": "text of a", "b": "text of b", "x": "y"}, "", "drop"),
        ({"a": "text of a", "b": "other", "x": "y"}, "", "drop"),  # half of the equal ids
        ({"a": "text of a", "b": "other", "c": "another", "x": "y"}, "", "keep"),
        ({"a": "", "b": "other", "x": "y"}, "", "keep"),
        ({"a": "other", "b": "other", "x": "y"}, 'self_match = "drop"\n', "drop"),
        ({"a": "text of a", "x": "y"}, 'self_match = "keep"\n', "keep"),
    ],
)
def test_data_check_announces_the_rule_that_an_evaluation_follows(
    tmp_path: Path, texts: dict[str, str], card: str, rule: str
) -> None:
    source = twins(tmp_path / "own", texts, card)
    folders.write(tmp_path / "own/qrels/dev.tsv", "c\tx\t1\n")  # whose query is no document, or another one
    (said,) = [f["what"] for f in check_folder(Path(source)).findings if f["kind"] == "ids coincide"]
    assert decide_self_match(open_collection(source), "test", "").rule == rule
    assert ("dropped in " in said and "test" in said.split("dropped in ")[1].split(",")[0]) == (rule == "drop")
    assert decide_self_match(open_collection(source), "dev", "").rule == ("drop" if "drop" in card else "keep")
