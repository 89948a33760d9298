"""Targets of the published mixture are met after the filter, and no row comes twice more than another."""

from __future__ import annotations

import numpy as np
import pytest

from irctl.data.contexts import mixture
from irctl.errors import ConfigError, DataError

FILES = "hotpotqa nq multi_news gov_report trec_fine banking77 arc_easy arc_challenge".split()
SPLITS = [0.1, 0.1, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1]


def test_the_published_mixture_is_130_000_rows_after_the_filter() -> None:
    wanted = mixture.targets(8, 50_000, SPLITS)
    assert wanted == [5000, 5000, 50_000, 50_000, 5000, 5000, 5000, 5000]
    lengths_N = np.r_[np.full(3000, 100), np.full(7000, 2000), np.full(10, 40_000)]
    shares = [
        mixture.take(name, lengths_N, target, min_tokens=1024, max_tokens=32_000, seed=42)
        for name, target in zip(FILES, wanted, strict=True)
    ]
    assert sum(len(s.taken_N) for s in shares) == 130_000
    for share, target in zip(shares, wanted, strict=True):
        assert len(share.taken_N) == target and share.kept == 7000
        times = np.bincount(share.taken_N, minlength=len(lengths_N))[3000:10_000]
        assert times.max() - times.min() <= 1
        assert ((share.taken_N >= 3000) & (share.taken_N < 10_000)).all()
    assert shares[0].line() == "hotpotqa: 10010 rows, 3000 too short, 10 too long, 7000 kept, 5000 taken"


def test_draws_follow_seed_and_file_and_limits_are_excluded() -> None:
    lengths_N = np.arange(100)
    one, again, other, of_seed = (
        mixture.take(name, lengths_N, 10, min_tokens=None, max_tokens=None, seed=seed).taken_N.tolist()
        for name, seed in (("nq", 1), ("nq", 1), ("popqa", 1), ("nq", 2))
    )
    assert one == again and one != other and one != of_seed
    whole = mixture.take("nq", lengths_N, None, min_tokens=10, max_tokens=20, seed=1)
    assert whole.taken_N.tolist() == list(range(11, 20))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((2, 0, [0.5, 0.5]), "acerag.rows_per_file, which is not set"),
        ((2, 10, [0.5]), "expected one for each of 2 files, found 1"),
        ((1, 10, [0.0]), "expected numbers above 0"),
    ],
)
def test_shares_that_make_no_mixture_are_refused(arguments: tuple[int, int, list[float]], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        mixture.targets(*arguments)


def test_a_file_of_which_nothing_is_left_is_told() -> None:
    with pytest.raises(DataError, match="nq: none of 3 rows has more than 1024"):
        mixture.take("nq", np.array([5, 6, 7]), None, min_tokens=1024, max_tokens=2000, seed=1)
    with pytest.raises(DataError, match="nq: all 3 rows of the right length share a context"):
        apart = np.ones(3, dtype=bool)
        mixture.take("nq", np.array([5, 6, 7]), None, min_tokens=None, max_tokens=None, seed=1, is_left_out_N=apart)
    with pytest.raises(DataError, match="nq: none of 3 rows has fewer than 5 tokens"):
        mixture.take("nq", np.array([5, 6, 7]), None, min_tokens=None, max_tokens=5, seed=1)
