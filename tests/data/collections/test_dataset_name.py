"""The ledger's name of a data set: one rule, and no second spelling of it."""

import re

from irctl import paths
from irctl.data.collections.dataset_name import dataset_name
from irctl.pipelines.references.vectors import dataset_of_vectors


def test_the_name_that_was_asked_for_stands_for_all_else():
    assert dataset_name("mine", "beir/scifact", "vectors") == "mine"
    assert dataset_name("", "beir/scifact", "vectors") == "beir/scifact"
    assert dataset_name("", "", "vectors") == "vectors"
    assert dataset_name("") == ""


def test_vectors_are_named_by_their_collection_else_by_their_source():
    assert dataset_of_vectors("mine", {"collection": "cranfield"}, "a:b") == "mine"
    assert dataset_of_vectors("", {"collection": "cranfield"}, "a:b") == "cranfield"
    assert dataset_of_vectors("", {}, "a:b") == "a"
    assert dataset_of_vectors("", {}, "/no/such/a:b/x.parquet#emb") == "x.parquet"


def test_the_rule_is_spelled_in_one_place():
    files = paths.PACKAGE.rglob("*.py")
    assert [p.name for p in files if re.search(r"run\.dataset or|or config\.run\.dataset", p.read_text())] == []
