"""Paired tests over queries: t, randomisation, bootstrap intervals, and corrections for many comparisons.

Dimension key: N queries, S resamples. x_N are differences, system minus baseline.
Multiple testing in IR: Carterette, ACM TOIS 30(1), 2012.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from irctl.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

RESAMPLES = 10_000
SEED = 42
BLOCK = 2_000_000  # random draws held at once

TESTS = ("t", "randomisation")
CORRECTIONS = ("holm", "bonferroni", "none")
CORRECTED = {"holm": "Holm-corrected", "bonferroni": "Bonferroni-corrected", "none": "uncorrected"}
"""What a p-value after each is called."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One system against one baseline, on one data set and measure. p is None where the test is undefined."""

    system: str = ""
    baseline: str = ""
    dataset: str = ""
    split: str = ""
    measure: str = ""
    n: int
    delta: float
    effect_size: float | None
    test: str
    p_raw: float | None
    p_adj: float | None
    family: int = 1  # comparisons that p_adj is corrected over
    correction: str = "none"
    ci_low: float
    ci_high: float
    wins: int
    ties: int
    losses: int
    sd: float = 0.0  # of the differences
    column: str = ""  # of a table whose columns are compared: which one of the system's

    @property
    def name(self) -> str:
        """What is compared: the row, and its column where columns are."""
        return f"{self.system}, {self.column}" if self.column else self.system

    @property
    def line(self) -> str:
        """The comparison in words, for formats that have no place for its numbers."""
        p = describe_p(self.p_raw, self.p_adj, self.family, self.correction)
        return (
            f"{self.dataset} {self.split} {self.measure}: {self.name} - {self.baseline} = {self.delta:+.4f} "
            f"[{self.ci_low:+.4f}, {self.ci_high:+.4f}], p {p}, n {self.n}"
        )

    @property
    def daggers(self) -> str:
        """One dagger below .05, two below .01, after correction."""
        p = self.p_adj
        return "" if p is None or p >= 0.05 else "†" if p >= 0.01 else "††"


def describe_p(raw: float | None, adjusted: float | None, family: int, correction: str) -> str:
    """A p-value with what it is after its correction, by name; one that was not corrected stands there once."""
    if raw is None or adjusted is None:
        return "undefined"
    after = "" if correction == "none" else f" {adjusted:.3g}"
    return f"{raw:.3g}, {CORRECTED[correction]}{after} (family of {family})"


def differences(values: Mapping[str, float], baseline: Mapping[str, float]) -> Array:
    """x_N in the order of sorted query ids. Raises DataError unless both hold the same queries."""
    if odd := sorted(values.keys() ^ baseline.keys()):
        raise DataError(
            f"the two evaluations hold different queries: {len(odd)} are in one only, such as {', '.join(odd[:3])}",
            hint="Evaluate both on the same split and judgements",
        )
    return np.array([values[q] - baseline[q] for q in sorted(values)], dtype=np.float64)


def paired_t(x_N: Array) -> tuple[float | None, float | None]:
    """(t, two-sided p), n - 1 degrees of freedom; (None, 1) for no difference at all, (None, None) where undefined."""
    if len(x_N) < 2 or np.ptp(x_N) == 0:
        return None, 1.0 if len(x_N) and not x_N.any() else None
    from scipy.special import stdtr

    t = float(x_N.mean() / (x_N.std(ddof=1) / math.sqrt(len(x_N))))
    return t, float(2 * stdtr(len(x_N) - 1, -abs(t)))


def randomisation(x_N: Array, *, seed: int = SEED, resamples: int = RESAMPLES) -> float:
    """Two-sided p of random sign flips; all 2^N of them where these are few enough."""
    n = len(x_N)
    # A flip that ties with the observed mean must count in spite of rounding.
    bar = abs(x_N.sum()) - 1e-12 * np.abs(x_N).sum()
    if n < 30 and 2**n <= resamples:
        bits_SN = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return float(np.mean(np.abs((1.0 - 2.0 * bits_SN) @ x_N) >= bar))
    rng, count, done = np.random.default_rng(seed), 0, 0
    while done < resamples:
        size = min(resamples - done, max(1, BLOCK // n))
        flips_SN = rng.integers(0, 2, size=(size, n), dtype=np.int8)
        count += int(np.sum(np.abs(x_N.sum() - 2.0 * (flips_SN @ x_N)) >= bar))
        done += size
    return (1 + count) / (1 + resamples)


def bootstrap_means(x_N: Array, *, seed: int = SEED, resamples: int = RESAMPLES) -> Array:
    """Means of resamples with replacement, [S]."""
    n = len(x_N)
    rng = np.random.default_rng(seed)
    size = max(1, BLOCK // n)
    parts = [
        x_N[rng.integers(0, n, size=(min(size, resamples - done), n))].mean(axis=1)
        for done in range(0, resamples, size)
    ]
    return np.concatenate(parts)


def bootstrap_ci(x_N: Array, *, seed: int = SEED, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the mean."""
    return _interval(bootstrap_means(x_N, seed=seed), level)


def bootstrap_ratio(
    numerator_N: Array, denominator_N: Array, *, seed: int = SEED, level: float = 0.95
) -> tuple[float | None, float | None]:
    """Percentile interval of a ratio of two means over the same queries, which are resampled together.

    None is an end without bound: so many resamples have a denominator of 0 or less.
    """
    above_S, below_S = (bootstrap_means(x_N, seed=seed) for x_N in (numerator_N, denominator_N))  # the same draws
    ratio_S = np.where(above_S == 0, 0.0, np.copysign(np.inf, above_S))  # without a denominator; 0 of 0 is 0
    np.divide(above_S, below_S, out=ratio_S, where=below_S > 0)
    ends = np.quantile(ratio_S, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    low, high = (float(v) if np.isfinite(v) else None for v in ends)
    return low, high


def stratified_bootstrap(
    x_by_dataset: Sequence[Array], *, seed: int = SEED, level: float = 0.95
) -> tuple[float, float, float]:
    """(mean, low, high) of the macro mean over data sets: queries resampled inside each, data-set means averaged."""
    means_S = np.mean([bootstrap_means(x_N, seed=seed + i) for i, x_N in enumerate(x_by_dataset)], axis=0)
    low, high = _interval(means_S, level)
    return float(np.mean([x_N.mean() for x_N in x_by_dataset])), low, high


def _interval(means_S: Array, level: float) -> tuple[float, float]:
    low, high = np.quantile(means_S, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: the smallest p times m, the next times m - 1, ..., never decreasing, at most 1."""
    adjusted, running = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        running = max(running, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = running
    return adjusted


def bonferroni(p: Sequence[float]) -> list[float]:
    return [min(1.0, len(p) * x) for x in p]


def compare(
    values: Mapping[str, float],
    baseline: Mapping[str, float],
    *,
    test: str = "t",
    seed: int = SEED,
) -> Comparison:
    """Paired comparison of two per-query columns, not yet corrected nor named."""
    if test not in TESTS:
        raise ConfigError(f"no significance test named '{test}'", hint=f"Known: {', '.join(TESTS)}")
    x_N = differences(values, baseline)
    if not len(x_N):
        raise DataError("no query to compare on")
    p = paired_t(x_N)[1] if test == "t" else randomisation(x_N, seed=seed)
    low, high = bootstrap_ci(x_N, seed=seed)
    sd = float(x_N.std(ddof=1)) if np.ptp(x_N) else 0.0  # equal differences: rounding must not stand for a spread
    return Comparison(
        n=len(x_N),
        delta=float(x_N.mean()),
        effect_size=float(x_N.mean()) / sd if sd else None,
        test=test,
        p_raw=p,
        p_adj=p,
        ci_low=low,
        ci_high=high,
        wins=int((x_N > 0).sum()),
        ties=int((x_N == 0).sum()),
        losses=int((x_N < 0).sum()),
        sd=sd,
    )


def just_significant(sd: float, n: int, *, level: float = 0.05) -> float:
    """The smallest mean difference of n queries with this spread that a paired t-test calls significant, alone."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 1 - level / 2)) * sd / math.sqrt(n)


USUAL_POWER = "on Cranfield .026 at 45 queries and .012 at 225 are usual"
"""Measured over transforms, codes and models without training: sd of paired nDCG@10 differences .085 to .115."""


def tell_power(compared: Sequence[Comparison]) -> list[str]:
    """What these comparisons could see at all: the difference that would just be significant, by their own spread."""
    known = [c for c in compared if c.sd and c.n > 1]
    if not known:
        return []
    sds = sorted(c.sd for c in known)
    middle = sds[len(sds) // 2]
    count = known[0].n
    return [
        f"Power: paired differences have an sd of {sds[0]:.3f} to {sds[-1]:.3f} here; by the median, {middle:.3f}, "
        f"{just_significant(middle, count):.3f} is just significant at {count} queries, uncorrected ({USUAL_POWER})."
    ]


def correct(family: Sequence[Comparison], correction: str = "holm") -> list[Comparison]:
    """The family with p_adj. A comparison whose p is undefined takes part as p = 1 and stays undefined."""
    rules: dict[str, Callable[[Sequence[float]], list[float]]] = {"holm": holm, "bonferroni": bonferroni, "none": list}
    if correction not in rules:
        raise ConfigError(f"no correction named '{correction}'", hint=f"Known: {', '.join(CORRECTIONS)}")
    adjusted = rules[correction]([1.0 if c.p_raw is None else c.p_raw for c in family])
    size = len(family)
    return [
        replace(c, p_adj=None if c.p_raw is None else p, family=size, correction=correction)
        for c, p in zip(family, adjusted, strict=True)
    ]


def letters(count: int) -> list[str]:
    """a, b, ..., z, aa, ab, ...: names of models in superscripts."""
    names = []
    for i in range(count):
        name, left = "", i
        while left >= 0:
            name = chr(ord("a") + left % 26) + name
            left = left // 26 - 1
        names.append(name)
    return names
