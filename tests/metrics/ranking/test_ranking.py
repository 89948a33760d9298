"""What decides a ranking number: order, ties, missing queries, equal ids, cuts."""

from __future__ import annotations

import gzip
import json
import random
import shutil

import independent_measures as independent
import numpy as np
import pytest

from irctl import paths
from irctl.errors import DataError
from irctl.metrics.ranking.evaluate import canonicalize, evaluate, run_sha256, to_canonical_scores

ALL = "nDCG@10 nDCG@3 nDCG RR@10 RR(rel=2)@10 R@5 R(rel=2)@10 AP@20 AP P@10 Success@1 Success@5 Judged@10 R_cap@3 Rprec"
ALL += " ERR@10 ERR RBP(p=0.8) RBP(p=0.8)@5 Bpref infAP"


def random_case(seed: int) -> tuple[dict, dict]:
    """Runs with many exact ties, near-ties, equal ids, missing and unjudged queries, grades <= 0."""
    rng = random.Random(seed)
    ids = [str(i) for i in range(1, 61)]
    qrels = {
        str(q): {d: rng.choice([-1, 0, 0, 1, 2, 3]) for d in rng.sample(ids, rng.randint(1, 12))} for q in range(1, 31)
    }
    qrels["7"] = {"7": 1, "8": 0}
    qrels["9"] = {"10": 0, "11": -1}
    run = {}
    for q in range(1, 36):
        if q % 6:
            score = {
                d: round(rng.random(), 1) + rng.choice([0, 1e-9, -1e-9]) for d in rng.sample(ids, rng.randint(1, 40))
            }
            run[str(q)] = score
    run["7"]["7"] = 2.0
    return run, qrels


@pytest.mark.parametrize("seed", range(5))
def test_all_measures_equal_a_plain_numpy_implementation(seed: int) -> None:
    run, qrels = random_case(seed)
    result = evaluate(run, qrels, ALL)
    for name in ALL.split():
        assert result.means[name] == pytest.approx(independent.mean(name, run, qrels), abs=1e-6), name
        for query_id, value in result.per_query[name].items():
            expected = independent.value(name, run.get(query_id, {}), qrels[query_id])
            assert value == pytest.approx(expected, abs=1e-6), (name, query_id)


@pytest.mark.parametrize("seed", range(5))
def test_values_equal_trec_eval_given_the_raw_scores(seed: int) -> None:
    import pytrec_eval

    run, qrels = random_case(seed)
    names = {
        "ndcg_cut_10": "nDCG@10",
        "recall_100": "R@100",
        "map_cut_100": "AP@100",
        "P_10": "P@10",
        "success_5": "Success@5",
        "bpref": "Bpref",
        "infAP": "infAP",
    }
    theirs = pytrec_eval.RelevanceEvaluator(qrels, set(names)).evaluate(run)
    ours = evaluate(run, qrels, list(names.values())).per_query
    for query_id, values in theirs.items():
        for trec_name, name in names.items():
            assert ours[name][query_id] == pytest.approx(values[trec_name], abs=1e-6), (name, query_id)


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_two_tied_documents_are_ranked_by_docid_descending_whatever_the_order_of_the_file(
    order: tuple[str, str],
) -> None:
    result = evaluate(
        {"q": dict.fromkeys(order, 0.5)}, {"q": {"a": 1}}, "nDCG@1 RR@10 R@1 P@1 AP@10 Success@1 nDCG@10 Judged@1"
    )
    # b comes first: the one relevant document is at rank 2.
    assert result.means == {
        "nDCG@1": 0.0,
        "RR@10": 0.5,
        "R@1": 0.0,
        "P@1": 0.0,
        "AP@10": 0.5,
        "Success@1": 0.0,
        "nDCG@10": pytest.approx(1 / np.log2(3)),
        "Judged@1": 0.0,
    }


def test_scores_that_differ_only_beyond_float32_are_tied() -> None:
    assert list(canonicalize({"q": {"a": 0.70000001, "b": 0.7}})["q"]) == ["b", "a"]
    assert list(canonicalize({"q": {"a": 0.7001, "b": 0.7}})["q"]) == ["a", "b"]


def test_a_judged_query_missing_from_the_run_counts_zero_and_an_unjudged_one_not_at_all() -> None:
    run = {"q1": {"a": 1.0}, "extra": {"a": 1.0}}
    result = evaluate(run, {"q1": {"a": 1}, "q2": {"a": 1}, "q3": {"a": 0}}, "RR@10")
    assert result.means["RR@10"] == pytest.approx(1 / 3)
    assert (result.n_queries, result.n_missing, result.n_unjudged, result.n_without_relevant) == (3, 2, 1, 1)


def test_an_empty_run_is_refused_and_a_query_without_documents_scores_zero() -> None:
    with pytest.raises(DataError, match="nothing was ranked"):
        evaluate({}, {"q": {"a": 1}}, "nDCG@10")
    assert evaluate({"q": {}}, {"q": {"a": 1}}, "nDCG@10 R_cap@10").means == {"nDCG@10": 0.0, "R_cap@10": 0.0}


def test_a_run_that_answers_no_judged_query_is_refused() -> None:
    with pytest.raises(DataError, match="none of the run's 1 queries is judged"):
        evaluate({"1": {"a": 1.0}}, {"q1": {"a": 1}}, "nDCG@10")


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf"), 1e39])
def test_a_score_that_is_not_a_finite_float32_is_refused_with_query_and_document(score: float) -> None:
    with pytest.raises(DataError, match=r"query q, document b: expected a finite score"):
        canonicalize({"q": {"a": 1.0, "b": score}})


def test_a_self_match_is_dropped_by_equal_id_wherever_it_stands() -> None:
    run = {"q": {"top": 3.0, "q": 2.0, "low": 1.0}}
    assert list(canonicalize(run, 2, self_match="drop")["q"]) == ["top", "low"]
    assert list(canonicalize(run, 2)["q"]) == ["top", "q"]
    result = evaluate(run, {"q": {"low": 1}}, "RR@10", self_match="drop")
    assert result.means["RR@10"] == 0.5 and result.n_self_removed == 1


def test_dropping_equal_ids_on_cranfield_loses_document_225_which_is_judged_relevant_to_query_225() -> None:
    folder = paths.shipped("collections") / "cranfield"
    lines = (folder / "qrels" / "all.tsv").read_text().splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    qrels = {q: {d: int(g) for q2, d, g in rows if q2 == q} for q in ("224", "225")}
    with gzip.open(folder / "corpus.jsonl.gz", "rt") as f:
        ids = [json.loads(line)["_id"] for line in f]
    assert "225" in ids and qrels["225"]["225"] >= 1
    run = {"225": {"225": 2.0, "1": 1.0}, "224": {"224": 2.0, "1": 1.0}}
    assert evaluate(run, qrels, "RR@10").means["RR@10"] == 0.5
    assert evaluate(run, qrels, "RR@10", self_match="drop").means["RR@10"] == 0.0


def test_a_cut_at_k_hides_what_lies_below_it() -> None:
    run, qrels = {"q": {"a": 3.0, "b": 2.0, "c": 1.0}}, {"q": {"c": 1}}
    assert evaluate(run, qrels, "R@100").means["R@100"] == 1.0
    assert evaluate(run, qrels, "R@100", k=2).means["R@100"] == 0.0


def test_capped_recall_divides_by_the_smaller_of_k_and_the_relevant() -> None:
    qrels = {"q": dict.fromkeys("abcd", 1)}
    result = evaluate({"q": {"a": 3.0, "x": 2.0, "b": 1.0}}, qrels, "R_cap@2 R_cap@100 R@2")
    assert result.means == {"R_cap@2": 0.5, "R_cap@100": 0.5, "R@2": 0.25}


def test_expected_reciprocal_rank_and_rank_biased_precision_worked_by_hand() -> None:
    # Grades 2, unjudged, 1 at ranks 1 to 3. On a scale up to 2: R = 3/4, 0, 1/4; 3/4 + (1/4)(1/4)/3.
    run, qrels = {"q": {"a": 3.0, "x": 2.0, "b": 1.0}}, {"q": {"a": 2, "b": 1, "c": 0}}
    result = evaluate(run, qrels, "ERR@10 ERR@2 RBP(p=0.8) RBP(p=0.5)@1 RBP(rel=2,p=0.8)")
    assert result.top_grade == 2 and result.means == pytest.approx(
        {"ERR@10": 3 / 4 + 1 / 48, "ERR@2": 3 / 4, "RBP(p=0.8)": 0.328, "RBP(p=0.5)@1": 0.5, "RBP(rel=2,p=0.8)": 0.2}
    )
    on_four = evaluate(run, qrels, "ERR@10", top_grade=4)  # 3/16 + (13/16)(1/16)/3
    assert on_four.means["ERR@10"] == pytest.approx(3 / 16 + 13 / 768)
    with pytest.raises(DataError, match=r"ERR@10: expected grades up to 1 .*found 2 for query q, document a"):
        evaluate(run, qrels, "ERR@10", top_grade=1)


def test_bpref_and_inferred_precision_worked_by_hand_where_a_negative_grade_is_not_judged() -> None:
    # n1 a u b n2: one irrelevant judged document above each of the R = 2 relevant: 1 - 1/2 both times.
    run = {"q": {"n1": 5.0, "a": 4.0, "u": 3.0, "b": 2.0, "n2": 1.0}}
    qrels = {"q": {"a": 1, "b": 2, "n1": 0, "n2": 0, "n3": 0, "u": -1}}
    assert evaluate(run, qrels, "Bpref").means["Bpref"] == pytest.approx(0.5)
    # a, p (in the pool, not judged), x (not in the pool), b: 1 and 1/4 + (3/4)(2/3)(1).
    sampled = {"q": {"a": 4.0, "p": 3.0, "x": 2.0, "b": 1.0}}
    found = evaluate(sampled, {"q": {"a": 1, "p": -1, "b": 1}}, "infAP AP Judged@2").means
    assert found["infAP"] == pytest.approx((1 + 3 / 4) / 2, abs=1e-4)
    assert found["AP"] == 0.75 and found["Judged@2"] == 1.0


@pytest.mark.skipif(shutil.which("perl") is None, reason="gdeval is a Perl script")
@pytest.mark.parametrize("seed", range(2))
def test_expected_reciprocal_rank_equals_gdeval_on_its_scale_of_four(seed: int) -> None:
    import ir_measures

    run, qrels = random_case(seed)
    grades = {q: {d: max(g, 0) for d, g in docs.items()} for q, docs in qrels.items()}
    theirs = ir_measures.iter_calc([ir_measures.ERR @ 10], grades, to_canonical_scores(canonicalize(run)))
    ours = evaluate(run, qrels, "ERR@10", top_grade=4).per_query["ERR@10"]
    compared = [(m.value, ours[m.query_id]) for m in theirs]
    assert len(compared) == len(qrels) and sum(value for value, _ in compared) > 0.5
    assert [value for value, _ in compared] == pytest.approx([value for _, value in compared], abs=6e-6)


def test_official_ms_marco_score_of_three_queries_worked_by_hand() -> None:
    # Ranks of the file; the reference holds 4 queries, one of which the candidate file lacks. (1/2 + 1/10 + 0 + 0) / 4
    ranks = {"1": {"p1": 1, "p2": 2}, "2": {f"p{i}": i for i in range(1, 12)}, "3": {f"p{i}": i for i in range(1, 12)}}
    run = {q: {d: -float(rank) for d, rank in docs.items()} for q, docs in ranks.items()}
    qrels = {"1": {"p2": 1}, "2": {"p10": 1}, "3": {"p11": 1}, "4": {"p1": 1}}
    assert evaluate(run, qrels, "RR@10").means["RR@10"] == pytest.approx((1 / 2 + 1 / 10) / 4)


def test_the_hash_of_a_run_ignores_the_order_of_the_file_but_not_a_changed_score() -> None:
    run = {"1": {"a": 0.25, "b": 0.125}, "2": {"a": 1.0}}
    turned = {"2": {"a": 1.0}, "1": {"b": 0.125, "a": 0.25}}
    assert run_sha256(canonicalize(run)) == run_sha256(canonicalize(turned))
    assert run_sha256(canonicalize(run)) != run_sha256(canonicalize({**run, "2": {"a": 2.0}}))


def test_canonical_scores_count_down_to_one() -> None:
    assert to_canonical_scores(canonicalize({"q": {"a": 0.1, "b": 0.3, "c": 0.2}})) == {
        "q": {"b": 3.0, "c": 2.0, "a": 1.0}
    }
