"""Fusion against sums worked by hand."""

from __future__ import annotations

import pytest

from irctl.errors import ConfigError
from irctl.pipelines.search.fuse import combine

A = {"q": {"x": 10.0, "y": 5.0, "z": 0.0}}
B = {"q": {"y": 2.0, "x": 1.0}}


def test_reciprocal_ranks_are_summed() -> None:
    fused = combine("rrf", [A, B])["q"]
    assert fused == pytest.approx({"x": 1 / 61 + 1 / 62, "y": 1 / 62 + 1 / 61, "z": 1 / 63})


def test_scaled_scores_are_summed_with_weights() -> None:
    assert combine("combsum", [A, B])["q"] == pytest.approx({"x": 1.0, "y": 1.5, "z": 0.0})
    assert combine("weighted:0.7,0.3", [A, B])["q"] == pytest.approx({"x": 0.7, "y": 0.65, "z": 0.0})


@pytest.mark.parametrize("how", ["borda", "weighted:1", "weighted:a,b"])
def test_an_unknown_fusion_or_wrong_weights_are_refused(how: str) -> None:
    with pytest.raises(ConfigError, match="--fuse"):
        combine(how, [A, B])


def test_one_run_cannot_be_fused() -> None:
    with pytest.raises(ConfigError, match="at least 2 run files"):
        combine("rrf", [A])
