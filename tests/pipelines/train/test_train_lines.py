"""What a training says of its dev score."""

from __future__ import annotations

import pytest

from irctl.pipelines.train.train import dev_line


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (0.4, 0.5, "0.4000 -> 0.5000 (step 3, the best)"),
        (0.4412, 0.4408, "0.4412 -> 0.4408 (step 3, the best of those trained; step 0, before training, was better)"),
        (0.4, 0.4, "0.4000 -> 0.4000 (step 3, the best of those trained; no better than step 0, before training)"),
    ],
)
def test_the_untouched_model_counts_when_the_best_is_named(before: float, after: float, said: str) -> None:
    assert dev_line(before, after, 3).endswith(said)
