"""The published numbers: every one has a source, and a comparison says ok or the difference."""

from __future__ import annotations

import pytest

from irctl.reports import published_values


def test_every_published_value_is_a_share_with_source_recipe_and_tolerance() -> None:
    for o in published_values.load():
        assert 0 < o.value < 1 and o.source and o.recipe and o.tolerance in (0.002, 0.01), o
    keys = [(o.system, o.dataset, o.split, o.measure) for o in published_values.load()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("system", "mean"), [("all-MiniLM-L6-v2", 0.41950), ("all-mpnet-base-v2", 0.43813)])
def test_the_15_data_sets_average_to_the_published_mean(system: str, mean: float) -> None:
    values = [
        o.value
        for o in published_values.load()
        if o.system == system and (o.split == "test" or o.dataset == "beir/msmarco") and o.measure == "nDCG@10"
    ]
    assert len(values) == 15 and sum(values) / 15 == pytest.approx(mean, abs=1e-5)


def test_bge_averages_to_its_published_mean_over_18() -> None:
    values = [o.value for o in published_values.load() if (o.system, o.measure) == ("bge-base-en-v1.5", "nDCG@10")]
    values = values[:18]
    assert sum(values) / 18 == pytest.approx(0.5091, abs=1e-4)


def test_a_check_says_ok_or_the_difference() -> None:
    results = [
        {"dataset": "scifact", "split": "test", "measure": "nDCG@10", "value": 0.6440},
        {"dataset": "scifact", "split": "train", "measure": "nDCG@10", "value": 0.6},
        {"dataset": "cranfield", "split": "test", "measure": "nDCG@10", "value": 0.4},
    ]
    good, bad = published_values.check("/models/all-MiniLM-L6-v2/", results)
    assert good.is_ok and good.line.endswith("ok")
    assert not bad.is_ok and "differs by -0.0602" in bad.line
    assert published_values.check("my-own-model", results) == []
