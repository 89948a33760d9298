"""BM25 against a hand-worked formula; the choice of negatives by rank, score and margin."""

from __future__ import annotations

import math

import numpy as np
import pytest

from irctl.errors import ConfigError
from irctl.index.bm25 import Bm25, Bm25Settings, take_best
from irctl.pipelines.hardneg.rules import read_rules, score_ceiling, select
from irctl.settings import HardNeg

RANKED = [("p", 9.0), ("a", 8.0), ("b", 7.0), ("j", 6.5), ("c", 6.0), ("d", 1.0)]


def test_bm25_orders_as_the_formula_does() -> None:
    texts = ["wing lift drag", "wing wing", "", "heat flow in pipes"]
    bm25 = Bm25(texts, Bm25Settings(stemmer="none"))
    k1, b, lengths = 1.5, 0.75, [3, 2, 0, 3]  # "in" is a stop word
    mean = sum(lengths) / 4
    idf = math.log(1 + (4 - 2 + 0.5) / (2 + 0.5))
    expected = [idf * tf / (tf + k1 * (1 - b + b * n / mean)) for tf, n in zip([1, 2, 0, 0], lengths, strict=True)]
    np.testing.assert_allclose(bm25.scores("wing"), expected, rtol=1e-5)
    rows, _ = bm25.search("wing", 10)
    assert rows.tolist() == [1, 0]


def test_a_query_without_a_known_word_and_a_corpus_of_empty_texts_find_nothing() -> None:
    assert Bm25(["wing"], Bm25Settings()).search("zebra", 5)[0].tolist() == []
    assert Bm25(["", ""], Bm25Settings()).search("wing", 5)[0].tolist() == []


def test_ties_at_the_cut_keep_the_lowest_rows() -> None:
    rows, scores = take_best(np.array([1, 2, 1, 1, 0], dtype=np.float32), 3)
    assert rows.tolist() == [1, 0, 2]
    assert scores.tolist() == [2, 1, 1]


def test_an_unknown_stemmer_is_refused() -> None:
    with pytest.raises(ConfigError, match="no Snowball stemmer 'klingon'"):
        Bm25(["a"], Bm25Settings(stemmer="klingon"))


def chosen(**settings: object) -> list[str]:
    made = read_rules(HardNeg(**{"num": 2, **settings}))  # type: ignore[arg-type]
    return [d for d, _ in select(RANKED, {"p", "j"}, 9.0, made, seed=1, query_id="q")]


def test_judged_documents_never_become_negatives_and_ranks_count_the_others() -> None:
    assert chosen() == ["a", "b"]
    assert chosen(range="1:3") == ["b", "c"]


def test_margins_and_bounds_drop_the_likely_positives() -> None:
    assert chosen(abs_margin=1.5) == ["b", "c"]
    assert chosen(rel_margin=0.2) == ["b", "c"]
    assert chosen(max_score=6.5, min_score=2) == ["c"]


def test_the_relative_margin_lowers_the_ceiling_of_a_negative_score_too() -> None:
    made = read_rules(HardNeg(rel_margin=0.1))
    assert score_ceiling(-10.0, made) == -11.0
    assert score_ceiling(10.0, made) == 9.0


def test_random_negatives_depend_on_seed_and_query_alone() -> None:
    made = read_rules(HardNeg(num=2, pick="random"))
    ranked = [(str(i), 100.0 - i) for i in range(50)]
    one = select(ranked, set(), None, made, seed=1, query_id="q")
    assert one == select(ranked, set(), None, made, seed=1, query_id="q")
    assert one != select(ranked, set(), None, made, seed=2, query_id="q")
    assert [s for _, s in one] == sorted((s for _, s in one), reverse=True)


@pytest.mark.parametrize("window", ["5", "3:3", "a:b", "300:400"])
def test_a_rank_window_that_cannot_be_is_refused(window: str) -> None:
    if window == "5":
        assert read_rules(HardNeg(range="5")).last == 5
        return
    with pytest.raises(ConfigError, match=r"hardneg\.range"):
        read_rules(HardNeg(range=window, depth=200))
