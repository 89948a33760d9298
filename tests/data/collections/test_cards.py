"""Cards that ship: every BEIR collection, and the grade that counts for TREC Deep Learning wherever its queries lie."""

from __future__ import annotations

import pytest

from irctl.data.collections import cards
from irctl.data.collections.irds import measures_of
from irctl.metrics.ranking.parsing import parse

# name: split of the headline number, its queries, whether it can be downloaded (Thakur et al. 2021, table 1)
BEIR = {
    "msmarco": ("dev", 6980, True),
    "trec-covid": ("test", 50, True),
    "nfcorpus": ("test", 323, True),
    "bioasq": ("test", 500, False),
    "nq": ("test", 3452, True),
    "hotpotqa": ("test", 7405, True),
    "fiqa": ("test", 648, True),
    "signal1m": ("test", 97, False),
    "trec-news": ("test", 57, False),
    "robust04": ("test", 249, False),
    "arguana": ("test", 1406, True),
    "webis-touche2020": ("test", 49, True),
    "cqadupstack": ("test", 13145, True),
    "quora": ("test", 10000, True),
    "dbpedia-entity": ("test", 400, True),
    "scidocs": ("test", 1000, True),
    "fever": ("test", 6666, True),
    "climate-fever": ("test", 1535, True),
    "scifact": ("test", 300, True),
}


def test_every_beir_collection_has_a_card_with_its_split_size_and_download() -> None:
    found = {n.removeprefix("beir/"): c for n, c in cards.built_in().items() if n.startswith("beir/") and not c.same_as}
    assert {n: (c.headline_split, c.queries, c.public) for n, c in found.items()} == BEIR
    for name, card in found.items():
        assert card.headline_measure == "nDCG@10" and card.passages > 1000
        assert card.license if not card.public else card.url.endswith(f"/{name}.zip") and len(card.md5) == 32


def test_cqadupstack_is_twelve_forums_under_one_name() -> None:
    forums = cards.expand(["cqadupstack"])
    assert len(forums) == 12 and forums[0] == "beir/cqadupstack/android"
    assert all(cards.load_card(f).headline_split == "test" and not cards.load_card(f).parts for f in forums)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("msmarco", "trec19"),
        ("msmarco", "trec20"),
        ("trec-dl19", "trec19"),
        ("trec-dl20", "trec20"),
        ("beir/msmarco", "test"),
        ("sycl-eval/msmarco", "test"),
        ("sycl-eval/msmarco", "trec20"),
    ],
)
def test_binary_measures_of_trec_deep_learning_passages_take_grade_2(name: str, split: str) -> None:
    measures = parse(cards.load_card(name).measures[split])
    assert {m.name for m in measures} >= {"nDCG@10", "AP(rel=2)@1000", "R(rel=2)@1000", "RR(rel=2)@10"}
    assert all(m.rel == 2 for m in measures if m.family != "nDCG")


def test_dev_queries_of_msmarco_keep_grade_1() -> None:
    assert all(m.rel == 1 for m in parse(cards.load_card("msmarco").measures["dev"]))
    assert "dev" not in cards.load_card("beir/msmarco").measures


def test_names_of_ir_datasets_say_which_grade_counts() -> None:
    assert measures_of("msmarco-passage/trec-dl-2019/judged") == {"judged": "trec-dl"}
    assert measures_of("msmarco-passage-v2/trec-dl-2021") == {"trec-dl-2021": "trec-dl"}
    assert measures_of("msmarco-passage/dev/small") == {"small": "msmarco"}
    assert measures_of("beir/scifact/test") == {}
