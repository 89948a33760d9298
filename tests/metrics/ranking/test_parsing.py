"""Names of measures: synonyms, presets, and messages for wrong ones."""

from __future__ import annotations

import pytest

from irctl.errors import ConfigError
from irctl.metrics.ranking.parsing import PRESETS, parse, parse_one


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("ndcg@10", "nDCG@10"),
        ("NDCG@10", "nDCG@10"),
        ("mrr@10", "RR@10"),
        ("MRR@10", "RR@10"),
        ("recall@100", "R@100"),
        ("map", "AP"),
        ("r_cap@100", "R_cap@100"),
        ("RR(rel=1)@10", "RR@10"),
        ("RR(rel=2)@10", "RR(rel=2)@10"),
        ("P(rel=2,judged_only=True)@5", "P(rel=2,judged_only=True)@5"),
        ("err@10", "ERR@10"),
        ("bpref", "Bpref"),
        ("BPref(rel=2)", "Bpref(rel=2)"),
        ("infap", "infAP"),
        ("RBP", "RBP(p=0.8)"),
        ("rbp(p=.95, rel=2)@20", "RBP(rel=2,p=0.95)@20"),
        ("RBP(p=0.00001)", "RBP(p=0.00001)"),
        ("RBP(p=0.000012345678901234567)@5", "RBP(p=0.000012345678901234568)@5"),
    ],
)
def test_synonyms_are_rewritten_to_the_names_of_ir_measures(given: str, name: str) -> None:
    assert [m.name for m in parse(given)] == [name]
    assert parse_one(name) == parse_one(given)


def test_lists_keep_their_order_lose_repeats_and_may_name_presets() -> None:
    assert [m.name for m in parse("R@5, default,mrr@10")] == ["R@5", "nDCG@10", "RR@10", "R@100"]
    assert [m.name for m in parse("", default="msmarco")] == list(PRESETS["msmarco"])


def test_every_bad_name_is_reported_at_once_with_the_nearest_legal_one() -> None:
    with pytest.raises(ConfigError) as e:
        parse("nDGC@10 RR@10 recal@5 RR R@0 nDCG(rel=2)@10 bogus@3 %")
    text = str(e.value)
    for part in (
        "'nDGC@10' (did you mean 'nDCG@10'?)",
        "'recal@5' (did you mean 'R@5'?)",
        "RR: needs a cut-off",
        "R@0",
    ):
        assert part in text
    assert (
        "nDCG does not take 'rel=2'" in text and "no measure named 'bogus@3'" in text and "'%' is not a measure" in text
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("RBP(p=1)", "p must lie between 0 and 1, found '1'"),
        ("RBP(p=nan)", "p must lie between 0 and 1, found 'nan'"),
        ("RBP(p=1e-1)", "p must lie between 0 and 1, found '1e-1'"),
        ("RBP(judged_only=True)", "RBP does not take 'judged_only=True' (it takes rel=GRADE, p=0.8)"),
        ("ERR(rel=2)@10", "ERR does not take 'rel=2' (it takes no parameters)"),
        ("Bpref@10", "Bpref@10: takes no cut-off (did you mean 'Bpref'?)"),
        ("R(rel=²)@10", "rel must be a grade of at least 1"),
    ],
)
def test_a_parameter_that_a_measure_does_not_take_is_refused_with_those_it_takes(given: str, told: str) -> None:
    with pytest.raises(ConfigError) as e:
        parse(given)
    assert told in str(e.value)


@pytest.mark.parametrize("name", ["BPM@10", "SetF", "alpha_nDCG@10"])
def test_a_measure_that_only_ir_measures_knows_is_not_taken_for_another_of_a_similar_name(name: str) -> None:
    with pytest.raises(ConfigError) as e:
        parse(name)
    assert "does not compute" in str(e.value) and "did you mean" not in str(e.value)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_hold_names_that_parse_to_themselves(preset: str) -> None:
    assert tuple(m.name for m in parse(preset)) == PRESETS[preset]
