"""Measures of isotropy against their definitions by eigenvalues and by all pairs, and rows that a person can check."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from irctl.errors import DataError
from irctl.metrics.vectors import isotropy, moments
from irctl.regularizers import sigreg as statistic

SPREAD = np.diag(np.linspace(2, 0.2, 12))


def anisotropic(n: int = 300, seed: int = 0) -> NDArray[np.float64]:
    """Rows [n, 12] of falling variances, rotated and away from the origin."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    return rng.standard_normal((n, 12)) @ SPREAD @ rotation + 0.4


def isoscore_by_definition(x_ND: NDArray[np.float64]) -> float:
    """Rudman et al. 2022, step by step: eigenvalues, their length made sqrt(d), the distance from ones, rescaled."""
    d = x_ND.shape[1]
    values = np.linalg.eigvalsh(np.cov(x_ND.T))
    values = np.sqrt(d) * values / np.linalg.norm(values)
    defect = np.linalg.norm(values - 1) / np.sqrt(2 * (d - np.sqrt(d)))
    return float(((d - defect**2 * (d - np.sqrt(d))) ** 2 - d) / (d * (d - 1)))


def test_the_closed_form_of_isoscore_is_its_definition() -> None:
    for seed in range(5):
        x = anisotropic(seed=seed)
        assert isotropy.measure(x)["IsoScore.raw"] == pytest.approx(isoscore_by_definition(x), abs=1e-6)
    line = np.outer(np.arange(9.0), [1, 2, 0])
    assert isotropy.measure(line)["IsoScore.raw"] == pytest.approx(0, abs=1e-9)
    cross = np.concatenate([np.eye(4), -np.eye(4)])
    assert isotropy.measure(cross)["IsoScore.raw"] == pytest.approx(1)


@pytest.mark.parametrize("dim", [384, 512])
@pytest.mark.parametrize("n", [1000, 10_000])
def test_isotropic_rows_have_debiased_isoscore_1_and_raw_below_it(n: int, dim: int) -> None:
    found = isotropy.of_moments(moments.of_rows(np.random.default_rng(n + dim).standard_normal((n, dim), np.float32)))
    assert found["IsoScore"] == pytest.approx(1, abs=0.005)
    assert found["IsoScore.raw"] == pytest.approx(1 / (1 + dim / n), abs=0.01)


def test_measures_are_those_of_a_second_implementation() -> None:
    x = anisotropic()
    found = isotropy.measure(x)
    values = np.linalg.eig(np.cov(x.T))[0].real
    share = values / values.sum()
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    pairs = np.triu_indices(len(x), 1)
    cos = (u @ u.T)[pairs]
    directions = np.linalg.svd(u)[2]
    z = [np.exp(sign * u @ c).sum() for c in directions for sign in (1, -1)]
    expected = {
        "mean-cos": cos.mean(),
        "1-cos": 1 - abs(cos.mean()),
        "I(W)": min(z) / max(z),
        "erank": np.exp(-(share * np.log(share)).sum()),
        "erank/d": np.exp(-(share * np.log(share)).sum()) / 12,
        "PR/d": values.sum() ** 2 / (values**2).sum() / 12,
        "eig.min": values.min(),
        "eig.max": values.max(),
        "min/max": values.min() / values.max(),
        "top1": share.max(),
        "top10": np.sort(share)[::-1][:10].sum(),
        "uniformity": np.log(np.exp(-2 * (2 - 2 * cos)).mean()),
        "mean/norm": np.linalg.norm(x.mean(0)) / np.linalg.norm(x, axis=1).mean(),
        "norm.mean": np.linalg.norm(x, axis=1).mean(),
        "norm.std": np.linalg.norm(x, axis=1).std(),
        "ragcun_minmax": values.min() / values.max(),
        "ragcun_1mcv": 1 - values.std() / values.mean(),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert set(found) == {*expected, "IsoScore", "IsoScore.raw", "SIGReg"}


def test_rows_that_a_person_can_check() -> None:
    found = isotropy.measure(np.float32([[3, 0], [-3, 0], [0, 1], [0, -1]]))
    assert found["eig.max"] == pytest.approx(6) and found["eig.min"] == pytest.approx(2 / 3)
    assert found["min/max"] == pytest.approx(1 / 9) and found["top1"] == pytest.approx(0.9)
    assert found["mean-cos"] == pytest.approx(-1 / 3) and found["1-cos"] == pytest.approx(2 / 3)  # two of six pairs: -1
    assert found["norm.mean"] == 2 and found["norm.std"] == 1 and found["mean/norm"] == 0
    assert found["I(W)"] == pytest.approx(1)  # as many +c as -c on both axes
    assert found["PR/d"] == pytest.approx((1 / (0.81 + 0.01)) / 2)


def test_measures_do_not_depend_on_order_scale_or_rotation() -> None:
    x, rng = anisotropic(), np.random.default_rng(3)
    rotation = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    found = isotropy.measure(x)
    assert isotropy.measure(x[rng.permutation(len(x))]) == pytest.approx(found, rel=1e-5)
    turned = isotropy.measure(x @ rotation)
    assert {n: v for n, v in turned.items() if n != "SIGReg"} == pytest.approx(
        {n: v for n, v in found.items() if n != "SIGReg"}, rel=1e-6
    )
    scaled = isotropy.measure(7 * x)
    with_scale = {"norm.mean": 7, "norm.std": 7, "eig.min": 49, "eig.max": 49}
    for name in found.keys() - {"SIGReg"}:
        assert scaled[name] == pytest.approx(found[name] * with_scale.get(name, 1), rel=1e-6), name


def test_rows_that_all_stand_there_twice_change_only_what_counts_pairs() -> None:
    x = anisotropic()
    found, twice = isotropy.measure(x), isotropy.measure(np.repeat(x, 2, axis=0))
    for name in ("IsoScore.raw", "I(W)", "erank", "PR/d", "min/max", "top1", "mean/norm", "norm.mean", "norm.std"):
        assert twice[name] == pytest.approx(found[name], rel=1e-9), name
    assert twice["mean-cos"] > found["mean-cos"] and twice["uniformity"] > found["uniformity"]  # pairs of copies


def test_a_shift_of_the_mean_moves_the_cosine_and_leaves_isoscore() -> None:
    x = np.random.default_rng(0).standard_normal((2000, 64))
    found = [isotropy.of_moments(moments.of_rows(x + shift)) for shift in (0, 0.5, 1000)]
    assert [f["IsoScore"] for f in found] == pytest.approx([found[0]["IsoScore"]] * 3, abs=1e-6)
    assert abs(found[0]["mean-cos"]) < 0.002 and 0.15 < found[1]["mean-cos"] < 0.25 and found[2]["mean-cos"] > 0.999


def test_blocks_and_merged_parts_give_what_all_rows_give() -> None:
    x = anisotropic(5000).astype(np.float32)
    whole = isotropy.of_moments(moments.of_rows(x))
    streamed = isotropy.of_moments(moments.of_blocks(x[i : i + 777] for i in range(0, 5000, 777)))
    merged = moments.of_rows(x[:0]).merge(moments.of_rows(x[:100])).merge(moments.of_rows(x[100:]))
    assert streamed == pytest.approx(whole, rel=1e-9)
    assert isotropy.of_moments(merged) == pytest.approx(whole, rel=1e-9)


def test_variances_are_those_of_numpy_over_any_number_of_blocks_and_far_from_the_origin() -> None:
    x = np.float32([[3, 0, 7], [-3, 0, 7], [0, 1, 7], [0, -1, 7]])
    assert moments.of_rows(x).eigenvalues() == pytest.approx([6, 2 / 3, 0])
    assert moments.of_rows(x + 100).eigenvalues() == pytest.approx([6, 2 / 3, 0], abs=1e-9)
    many = anisotropic(9000)
    assert moments.of_rows(many).eigenvalues() == pytest.approx(np.linalg.eigvalsh(np.cov(many.T))[::-1])
    assert moments.of_rows(x[:0]).eigenvalues().tolist() == [0.0] * 3


def test_isoscore_star_leans_to_the_larger_sample() -> None:
    x = anisotropic(30)
    covariance = np.cov(x.T)
    same = isotropy.measure(x, reference_DD=covariance)
    assert same["IsoScore*"] == pytest.approx(same["IsoScore.raw"])
    leaning = 0.25 * covariance + 0.75 * np.eye(12)
    values = np.linalg.eigvalsh(leaning)
    expected = (values.sum() ** 2 / (values**2).sum() - 1) / 11
    assert isotropy.measure(x, reference_DD=np.eye(12))["IsoScore*"] == pytest.approx(expected)


def test_above_the_exact_number_of_rows_pairs_are_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    x = anisotropic(1000)
    exact = isotropy.uniformity(x)
    monkeypatch.setattr(isotropy, "EXACT", 500)
    drawn = [isotropy.uniformity(x, seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn == pytest.approx([exact] * 3, abs=0.02)
    assert isotropy.sigreg(x, are_unit=False, seed=1) == isotropy.sigreg(x, are_unit=False, seed=1)


def test_sigreg_is_1_of_normal_rows_and_of_a_uniform_sphere_and_large_of_others() -> None:
    x = np.random.default_rng(1).standard_normal((1000, 128))
    sphere = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert isotropy.measure(x)["SIGReg"] == pytest.approx(1, abs=0.25)
    assert isotropy.measure(sphere)["SIGReg"] == pytest.approx(1, abs=0.25)
    assert isotropy.measure(2 * x)["SIGReg"] > 50


def test_sigreg_is_the_statistic_of_the_regularizer() -> None:
    x = np.random.default_rng(1).standard_normal((400, 32)) + 0.3
    expected = statistic.regularize(torch.from_numpy(x), statistic.Config(slices=256), 0, 7)
    assert isotropy.sigreg(x, are_unit=False, seed=7) * isotropy.NULL == pytest.approx(float(expected), rel=1e-4)


def test_alignment_is_the_mean_squared_distance_of_directions() -> None:
    q, p = np.float32([[2, 0], [0, 5]]), np.float32([[1, 0], [3, 0]])
    assert isotropy.alignment(q, p) == pytest.approx((0 + 2) / 2)


def test_too_few_or_equal_rows_and_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="expected at least 3 rows, found 2"):
        isotropy.measure(np.eye(2))
    with pytest.raises(DataError, match="all 5 rows are equal"):
        isotropy.measure(np.full((5, 3), 0.1))
    with pytest.raises(DataError, match="values that are not finite in 1 row"):
        isotropy.measure(np.float32([[1, 2], [np.nan, 0], [3, 1], [2, 2]]))
    assert "IsoScore" not in isotropy.measure(np.eye(3))  # a simplex: as flat as three rows can be
