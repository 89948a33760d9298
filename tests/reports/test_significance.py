"""Paired tests against scipy, corrections by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from irctl.errors import ConfigError, DataError
from irctl.reports import significance as sig


def columns(n: int, seed: int = 0, shift: float = 0.05) -> tuple[dict[str, float], dict[str, float]]:
    rng = np.random.default_rng(seed)
    base = rng.random(n)
    return {str(i): float(b + shift + 0.1 * rng.normal()) for i, b in enumerate(base)}, {
        str(i): float(b) for i, b in enumerate(base)
    }


@pytest.mark.parametrize("n", [2, 5, 45, 400])
def test_paired_t_equals_scipy(n: int) -> None:
    a, b = columns(n, seed=n)
    ours = sig.compare(a, b)
    theirs = stats.ttest_rel([a[q] for q in sorted(a)], [b[q] for q in sorted(b)])
    assert ours.p_raw == pytest.approx(theirs.pvalue, rel=1e-9)
    assert sig.paired_t(sig.differences(a, b))[0] == pytest.approx(theirs.statistic)
    assert ours.delta == pytest.approx(np.mean([a[q] - b[q] for q in a]))


def test_exhaustive_randomisation_equals_scipy_for_few_queries() -> None:
    a, b = columns(9, seed=3)
    x_N = sig.differences(a, b)
    theirs = stats.permutation_test((x_N,), lambda x: abs(x.mean()), permutation_type="samples", alternative="greater")
    assert sig.randomisation(x_N) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_sampled_randomisation_is_near_scipy_and_the_same_for_the_same_seed() -> None:
    x_N = sig.differences(*columns(60, seed=5, shift=0.02))
    theirs = stats.permutation_test(
        (x_N,), lambda x: abs(x.mean()), permutation_type="samples", alternative="greater", n_resamples=20_000, rng=1
    )
    assert sig.randomisation(x_N) == pytest.approx(theirs.pvalue, abs=0.015)
    assert sig.randomisation(x_N, seed=7) == sig.randomisation(x_N, seed=7)


def test_randomisation_never_gives_p_zero() -> None:
    assert sig.randomisation(np.full(50, 1.0) + np.arange(50) / 1000) == pytest.approx(1 / 10_001)


def test_bootstrap_interval_is_near_scipy_and_the_same_for_the_same_seed() -> None:
    x_N = sig.differences(*columns(80, seed=6))
    low, high = sig.bootstrap_ci(x_N)
    theirs = stats.bootstrap((x_N,), np.mean, method="percentile", n_resamples=10_000, rng=1).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.002)
    assert sig.bootstrap_ci(x_N, seed=1) == sig.bootstrap_ci(x_N, seed=1) != (low, high)


def test_stratified_bootstrap_weighs_data_sets_equally_whatever_their_size() -> None:
    mean, low, high = sig.stratified_bootstrap([np.full(3, 0.2), np.full(1000, 0.0)])
    assert (mean, low, high) == (pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1))


def test_holm_by_hand() -> None:
    assert sig.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert sig.bonferroni([0.01, 0.4, 0.03]) == pytest.approx([0.03, 1.0, 0.09])


def test_identical_runs_give_p_1_and_no_mark() -> None:
    a, _ = columns(20)
    one = sig.compare(a, dict(a))
    assert (one.p_raw, one.delta, one.effect_size, one.daggers) == (1.0, 0.0, None, "")
    assert (one.wins, one.ties, one.losses) == (0, 20, 0)
    assert sig.randomisation(sig.differences(a, a)) == 1.0


def test_a_constant_difference_and_a_single_query_are_undefined_not_significant() -> None:
    assert sig.compare({"1": 0.6, "2": 0.6}, {"1": 0.5, "2": 0.5}).p_raw is None
    one = sig.compare({"1": 0.6}, {"1": 0.5})
    assert (one.p_raw, one.daggers) == (None, "")
    assert sig.correct([one])[0].p_adj is None


def test_wins_ties_losses_are_counted_by_query() -> None:
    c = sig.compare({"1": 0.9, "2": 0.5, "3": 0.1, "4": 0.8}, {"1": 0.5, "2": 0.5, "3": 0.5, "4": 0.5})
    assert (c.wins, c.ties, c.losses, c.n) == (2, 1, 1, 4)


def test_different_queries_are_refused_with_three_of_them() -> None:
    with pytest.raises(DataError, match="4 are in one only, such as 5, 6, 7"):
        sig.compare({str(i): 0.1 for i in range(9)}, {str(i): 0.1 for i in range(5)})


def test_correction_is_over_the_family_and_daggers_follow_the_adjusted_p() -> None:
    a, b = columns(45, seed=11, shift=0.06)
    alone = sig.correct([sig.compare(a, b)])[0]
    many = sig.correct([sig.compare(a, b), *[sig.compare(*columns(45, seed=s, shift=0.0)) for s in range(9)]])[0]
    assert many.p_adj == pytest.approx(min(1.0, 10 * alone.p_adj))
    assert alone.daggers == "††"
    with pytest.raises(ConfigError, match="no correction named 'fdr'"):
        sig.correct([alone], "fdr")


def test_letters_go_on_after_z() -> None:
    names = sig.letters(54)
    assert (names[0], names[25], names[26], names[53]) == ("a", "z", "aa", "bb") and len(set(names)) == 54
