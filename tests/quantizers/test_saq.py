"""SAQ against a slow plain implementation, its plan by hand, its estimator over rotations, its bytes."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from irctl.errors import ConfigError
from irctl.quantizers import saq
from irctl.quantizers.shared import saq_code, saq_plan


def decaying(n: int, dim: int, seed: int, decay: float = 0.7) -> NDArray[np.float32]:
    rotation = np.linalg.qr(np.random.default_rng(99).standard_normal((dim, dim)))[0]
    x = np.random.default_rng(seed).standard_normal((n, dim)) * np.arange(1, dim + 1) ** -decay
    return (x @ rotation / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def plain(z: list[float], bits: int, rounds: int) -> tuple[list[float], float]:
    """The specification word for word, one row: grid values in half steps, and the cosine."""
    top = 2 ** (bits - 1) - 0.5
    a = [min(max(np.floor(v) + 0.5, -top), top) for v in z]
    for _ in range(rounds):
        moved = False
        for i in range(len(z)):
            inner = sum(x * y for x, y in zip(z, a, strict=True))
            norm = sum(y * y for y in a)
            rest, others = inner - z[i] * a[i], norm - a[i] ** 2
            if rest <= 0:
                continue
            new = min(max(np.floor(z[i] * others / rest) + 0.5, -top), top)
            inner2, norm2 = rest + z[i] * new, others + new**2
            if inner2 > 0 and inner2**2 * norm > inner**2 * norm2 * (1 + 1e-8):
                a[i], moved = new, True
        if not moved:
            break
    inner = sum(x * y for x, y in zip(z, a, strict=True))
    return a, inner / np.sqrt(sum(v * v for v in z) * sum(y * y for y in a))


def cosines(o_RL: NDArray[np.float32], bits: int, rounds: int) -> NDArray[np.float64]:
    codes, _ = saq_code.encode(o_RL, bits, rounds)
    a = saq_code.to_grid(codes, bits).astype(np.float64)
    o = o_RL.astype(np.float64)
    return (o * a).sum(1) / np.linalg.norm(o, axis=1) / np.linalg.norm(a, axis=1)


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_adjusted_codes_are_as_good_as_the_plain_implementations(bits: int) -> None:
    o = np.random.default_rng(bits).standard_normal((40, 64)).astype(np.float32)
    scaled = o.astype(np.float64) * 2 ** (bits - 1) / np.abs(o).max(1, keepdims=True)
    expected = 1 - np.array([plain(list(row), bits, 6)[1] for row in scaled])
    found = 1 - cosines(o, bits, 6)
    assert found.mean() <= 1.02 * expected.mean()
    assert np.median(np.abs(found / expected - 1)) < 0.01


def test_adjustment_never_lowers_the_cosine() -> None:
    o = np.random.default_rng(0).standard_normal((300, 64)).astype(np.float32)
    for bits in (2, 4, 8, 13):
        values = [cosines(o, bits, rounds) for rounds in (0, 1, 2, 6)]
        for before, after in itertools.pairwise(values):
            assert (after >= before - 1e-12).all()


def test_adjustment_comes_close_to_the_best_of_all_codes() -> None:
    o = np.random.default_rng(1).standard_normal((20, 6)).astype(np.float32)
    every = np.array(list(itertools.product([-1.5, -0.5, 0.5, 1.5], repeat=6)))
    best = (o @ every.T / np.linalg.norm(every, axis=1) / np.linalg.norm(o, axis=1)[:, None]).max(1)
    assert (cosines(o, 2, 6) >= 0.98 * best).all()


def test_one_bit_codes_are_signs() -> None:
    o = np.random.default_rng(2).standard_normal((50, 64)).astype(np.float32)
    np.testing.assert_array_equal(saq_code.encode(o, 1, 6)[0], o >= 0)


def test_the_plan_worked_by_hand() -> None:
    # 2 units, variances 8 and 1, budget 3 words: [64 x 2 bits, 64 x 0] costs 3, error 8/4 + 1 = 3; one segment: 9/2
    assert saq_plan.plan(np.array([8.0, 1.0]), 1.0, 128) == [(64, 2), (64, 0)]
    assert saq_plan.plan(np.array([8.0, 1.0]), 1.0, 128, segmented=False) == [(128, 1)]


@pytest.mark.parametrize("bits", [1.0, 2.0, 4.0, 8.0])
def test_one_unit_never_gives_an_empty_plan(bits: float) -> None:
    assert saq_plan.plan(np.array([5.0]), bits, 64) == [(64, int(bits))]


def test_a_plan_covers_all_units_within_its_budget_and_is_the_best_of_all() -> None:
    variance = np.array([9.0, 3.0, 1.0, 0.5])
    for bits in (1.0, 1.5):
        made = saq_plan.plan(variance, bits, 256)
        assert sum(length for length, _ in made) == 256
        best = min(error(p, variance) for p in every_plan(4) if cost(p) <= saq_plan.count_words(bits, 256))
        assert error(made, variance) <= best / 0.99


def every_plan(units: int) -> list[list[tuple[int, int]]]:
    plans: list[list[tuple[int, int]]] = []
    for cuts in range(units):
        for where in itertools.combinations(range(1, units), cuts):
            edges = [0, *where, units]
            for bits in itertools.product(range(7), repeat=cuts + 1):
                if all(bits[:-1]) and (bits[-1] or cuts):
                    plans.append([((b - a) * 64, n) for (a, b), n in zip(itertools.pairwise(edges), bits, strict=True)])
    return plans


def cost(plan: list[tuple[int, int]]) -> int:
    return sum(bits * length // 64 + 1 for length, bits in plan if bits)


def error(plan: list[tuple[int, int]], variance: NDArray[np.float64]) -> float:
    start, total = 0, 0.0
    for length, bits in plan:
        total += variance[start : start + length // 64].sum() / 2**bits
        start += length // 64
    return float(total)


def test_too_few_bits_for_a_segment_are_refused() -> None:
    with pytest.raises(ConfigError, match="leave no room for a segment"):
        saq.Quantizer(saq.Config(bits=0.5), 64).fit(decaying(50, 64, 0))


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_the_estimate_is_unbiased_over_rotations(metric: str) -> None:
    x, q = decaying(30, 64, 1), decaying(5, 64, 2)
    true = q @ x.T if metric == "ip" else -((q[:, None] - x[None]) ** 2).sum(2)
    errors = []
    for seed in range(60):
        made = saq.Quantizer(saq.Config(bits=2), 64, metric, seed)
        made.fit(x)
        errors.append(made.scores(q, made.encode(x)) - true)
    mean = np.mean(errors, axis=0)
    deviation = np.std(errors, axis=0) / np.sqrt(len(errors))
    tail_is_coded = all(bits for _, bits in made.segments)
    assert tail_is_coded
    assert (np.abs(mean) <= 4 * deviation + 1e-5).mean() > 0.98


def test_bytes_follow_the_formula_and_early_codes_decode_after_later_ones() -> None:
    x = decaying(900, 192, 5)
    made = saq.Quantizer(saq.Config(bits=1.5), 192, "l2")
    made.fit(x)
    first = made.encode(x[:500])
    made.encode(x[500:] * 50)
    assert first.shape == (500, made.code_size)
    assert made.code_size == sum(n * b // 8 for n, b in made.coded) + 8 * len(made.coded) + 4 * made.has_tail
    relative = ((made.decode(first) - x[:500]) ** 2).sum() / (x[:500] ** 2).sum()
    assert relative < 0.2


def test_segments_help_where_the_spectrum_decays() -> None:
    x = decaying(1500, 256, 6, decay=1.0)
    errors = {}
    for segmented in (True, False):
        made = saq.Quantizer(saq.Config(bits=1, segmented=segmented), 256)
        made.fit(x)
        errors[segmented] = ((made.decode(made.encode(x)) - x) ** 2).sum(), made.code_size
    assert errors[True][0] < 0.7 * errors[False][0]
    assert errors[True][1] <= errors[False][1] + 8


def test_a_zero_row_and_a_row_at_the_mean_stay_finite(tmp_path: Path) -> None:
    x = decaying(200, 64, 7)
    made = saq.Quantizer(saq.Config(bits=2), 64)
    made.fit(x)
    odd = np.stack([np.zeros(64, np.float32), made.mean_D])
    codes = made.encode(odd)
    assert np.isfinite(made.decode(codes)).all()
    np.testing.assert_allclose(made.decode(codes)[1], made.mean_D, atol=1e-5)
    made.save(tmp_path / "q")
    np.testing.assert_array_equal(saq.Quantizer.load(tmp_path / "q").encode(odd), codes)


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_a_search_unpacks_few_rows_beside_those_it_scores(metric: str) -> None:
    x = decaying(1000, 256, seed=1)
    quantizer = saq.Quantizer(saq.Config(bits=4, rounds=0), 256, metric)
    quantizer.fit(x)
    codes = np.tile(quantizer.encode(x), (9, 1))
    tracemalloc.start()
    try:
        scores, rows = quantizer.search(x[:2], codes, 9)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    coded = quantizer.projection_DL.shape[1]
    scored = 8192 * coded * 4 + 2048 * coded * 8  # rows of a block as float32, and those multiplied as float64
    assert peak < scored + (2 << 20), (peak, scored)
    assert (rows[0] == rows[0, 0] + 1000 * np.arange(9)).all() and (scores[0] == scores[0, 0]).all()
