"""What a training says of its dev score."""

from __future__ import annotations

import pytest

from irctl.pipelines.train.train import collapse_warning, dev_line
from irctl.training.run_files.dev_measure import dev_measure


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


@pytest.mark.parametrize(
    ("method", "during", "name"),
    [
        ("isotropic", "candidates", "nDCG@10 over candidates"),
        ("dense", "corpus", "nDCG@10 over the corpus"),
        ("repconc", "candidates", "nDCG@10 over candidates"),
        ("adore", "candidates", "nDCG@10"),  # it ranks its index, whatever eval.during says
        ("a file that is gone", "candidates", "nDCG@10"),
    ],
)
def test_the_dev_score_says_what_it_ranks(method: str, during: str, name: str) -> None:
    assert dev_measure(method, during) == name
    assert dev_line(0.4, 0.5, 3, name).startswith(f"dev {name} 0.4000 ->")
    assert collapse_warning(0.4, 0.1, name).startswith(f"dev {name} fell")
