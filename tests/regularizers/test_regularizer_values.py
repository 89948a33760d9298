"""Regularizers against closed forms, published statistics and other people's code."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from irctl.errors import ConfigError, DataError
from irctl.regularizers import cosreg, cov_iso, cov_iso_ragcun, entry_std, gor, istar, sigreg, uniformity, vicreg

POINTS = (torch.arange(20_001, dtype=torch.float64) + 0.5) / 20_001


def normal(n: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def per_row(x_N: Tensor) -> float:
    return float(sigreg.regularize(x_N[:, None], sigreg.Config(slices=4, scale="per_sample")))


def quantiles(of: object) -> Tensor:
    """A sample of a distribution without chance in it."""
    return torch.from_numpy(of.ppf(POINTS.numpy()))  # type: ignore[attr-defined]


def test_sigreg_of_the_target_is_1_05_whatever_the_number_of_rows() -> None:
    drawn = [
        float(sigreg.regularize(normal(n, 512, seed).float(), sigreg.Config(slices=256), step=seed))
        for n in (128, 256)
        for seed in range(20)
    ]
    assert sum(drawn[:20]) / 20 == pytest.approx(1.0525, abs=0.1)
    assert sum(drawn[20:]) / 20 == pytest.approx(1.0525, abs=0.1)


def test_sigreg_of_equal_rows_is_their_number_times_a_constant() -> None:
    found = sigreg.regularize(torch.zeros(1024, 8), sigreg.Config(slices=16))
    assert float(found) == pytest.approx(0.40205 * 1024, abs=0.02)


@pytest.mark.parametrize(
    ("scale", "expected", "within"),
    [(0.01, 411.5, 0.5), (0.5, 156, 5), (0.9, 6, 1), (2.0, 240, 5)],
)
def test_sigreg_of_1024_rows_tells_their_scale(scale: float, expected: float, within: float) -> None:
    found = sigreg.regularize(scale * normal(1024, 512).float(), sigreg.Config(slices=256))
    assert float(found) == pytest.approx(expected, abs=within)


def test_sigreg_wants_unit_rows_times_the_root_of_their_dimension() -> None:
    x_ND = torch.nn.functional.normalize(normal(1024, 512).float(), dim=1)
    assert float(sigreg.regularize(x_ND, sigreg.Config(slices=256))) == pytest.approx(409, abs=2)
    assert float(sigreg.regularize(512**0.5 * x_ND, sigreg.Config(slices=256))) == pytest.approx(1.05, abs=0.2)


def test_the_gradient_of_sigreg_vanishes_far_from_the_target() -> None:
    def force(scale: float) -> float:
        """On the scale of all rows, in units of that scale."""
        factor = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(sigreg.regularize(factor * normal(256, 64), sigreg.Config(slices=64)), factor)
        return -scale * float(slope)

    assert force(0.01) < 0.01 * force(0.5) and force(0.5) > 0


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat(50), 0.10283),
        (quantiles(stats.uniform(-math.sqrt(3), 2 * math.sqrt(3))), 0.01609),
        (quantiles(stats.laplace(scale=math.sqrt(0.5))), 0.01638),
        (quantiles(stats.norm(0.5)), 0.11812),
        (quantiles(stats.norm(scale=1.1)), 0.00450),
        (quantiles(stats.norm()), 0.0),
    ],
    ids=["rademacher", "uniform", "laplace", "shifted", "wider", "normal"],
)
def test_sigreg_tells_distributions_that_moments_do_not(sample: Tensor, expected: float) -> None:
    assert per_row(sample) == pytest.approx(expected, abs=2e-5)


def test_sigreg_draws_the_same_slices_for_a_step_and_others_for_the_next() -> None:
    first, again, later = (sigreg.draw_slices(5, 3, step, 7) for step in (1, 1, 2))
    assert torch.equal(first, again) and not torch.allclose(first, later)
    assert not torch.allclose(first, sigreg.draw_slices(5, 3, 1, 8))
    assert torch.allclose(first.norm(dim=0), torch.ones(3, dtype=torch.float64))


def test_sigreg_a_part_at_a_time_is_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def both() -> tuple[Tensor, Tensor]:
        leaf_ND = normal(20, 6).requires_grad_()
        found = sigreg.regularize(leaf_ND, sigreg.Config(slices=10))
        (grad_ND,) = torch.autograd.grad(found, leaf_ND)
        return found, grad_ND

    whole, grad_ND = both()
    monkeypatch.setattr(sigreg, "AT_ONCE", 20 * 17 * 3)  # three slices at once
    parts, grad_of_parts_ND = both()
    assert torch.allclose(parts, whole, rtol=1e-12) and torch.allclose(grad_of_parts_ND, grad_ND, rtol=1e-10)


def test_sigreg_clips_what_is_below_and_divides_by_the_rows() -> None:
    z_ND = normal(50, 3)
    plain = sigreg.regularize(z_ND, sigreg.Config(slices=6))
    assert sigreg.regularize(z_ND, sigreg.Config(slices=6, clip=1e6)) == 0
    assert torch.allclose(sigreg.regularize(z_ND, sigreg.Config(slices=6, scale="per_sample")), plain / 50)
    for wrong in ({"knots": 16}, {"slices": 0}, {"scale": "sum"}, {"t_max": 0.0}):
        with pytest.raises(ConfigError, match="sigreg"):
            sigreg.Config(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(40, 6), (5, 9)])
def test_cov_iso_is_the_participation_ratio_and_knows_no_scale_and_no_mean(shape: tuple[int, int]) -> None:
    z_ND = normal(*shape) * torch.linspace(1, 3, shape[1], dtype=torch.float64)
    variances_D = torch.linalg.eigvalsh(torch.cov(z_ND.T))
    ratio = variances_D.sum() ** 2 / variances_D.square().sum()
    found = cov_iso.regularize(z_ND, cov_iso.Config())
    assert torch.allclose(found, shape[1] / ratio - 1)
    assert torch.allclose(cov_iso.regularize(7 * z_ND + 100, cov_iso.Config()), found)
    debiased = cov_iso.regularize(z_ND, cov_iso.Config(debias=True))
    assert torch.allclose(found - debiased, torch.tensor(shape[1] / (shape[0] - 1), dtype=torch.float64))


@pytest.mark.parametrize("n", [32, 64, 128])
def test_debiased_cov_iso_of_isotropic_rows_is_near_0(n: int) -> None:
    found = cov_iso.regularize(normal(n, 512), cov_iso.Config(debias=True))
    assert abs(float(found)) < 0.15


@pytest.mark.parametrize("module", [cov_iso, istar])
def test_rows_without_a_covariance_are_refused(module: object) -> None:
    with pytest.raises(DataError, match="all 5 rows are equal"):
        module.regularize(torch.ones(5, 3), module.Config())  # type: ignore[attr-defined]


def test_ragcun_s_term_is_v_times_the_root_of_cov_iso_where_means_are_equal() -> None:
    z_ND = normal(400, 6)
    z_ND = z_ND - z_ND.mean(0)
    v = torch.var(z_ND)
    c_DD = torch.cov(z_ND.T)
    found = cov_iso_ragcun.regularize(z_ND, cov_iso_ragcun.Config())
    assert torch.allclose(found, (c_DD - v * torch.eye(6)).norm() / 6)
    own = cov_iso.regularize(z_ND, cov_iso.Config())
    assert torch.allclose(found, v * own.sqrt() / math.sqrt(6), rtol=0.02)
    assert cov_iso_ragcun.regularize(0.1 * z_ND, cov_iso_ragcun.Config()) < found / 50  # collapse lowers it


@pytest.mark.parametrize(("n", "expected"), [(32, 0.18), (64, 0.125), (128, 0.089)])
def test_ragcun_s_term_of_perfect_rows_is_the_noise_of_their_number(n: int, expected: float) -> None:
    found = cov_iso_ragcun.regularize(normal(n, 512), cov_iso_ragcun.Config())
    assert float(found) == pytest.approx(expected, abs=0.005)


def test_ragcun_s_target_takes_up_the_means_of_the_dimensions() -> None:
    z_ND = normal(2000, 8) + torch.arange(8)
    assert float(torch.var(z_ND)) == pytest.approx(6.3, abs=0.1)
    assert float(cov_iso_ragcun.regularize(z_ND, cov_iso_ragcun.Config())) == pytest.approx(5.3 / math.sqrt(8), abs=0.1)


def test_entry_std_is_0_at_its_target_alone() -> None:
    z_ND = normal(50, 4)
    z_ND = z_ND / torch.std(z_ND)
    assert float(entry_std.regularize(z_ND, entry_std.Config())) == pytest.approx(0, abs=1e-20)
    assert float(entry_std.regularize(3 * z_ND, entry_std.Config())) == pytest.approx(4)
    assert float(entry_std.regularize(3 * z_ND, entry_std.Config(target=3.0))) == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_gor_is_sentence_transformers_own(shift: float) -> None:
    from sentence_transformers.sentence_transformer.losses import GlobalOrthogonalRegularizationLoss

    z_ND = normal(30, 8).float() + shift
    theirs = GlobalOrthogonalRegularizationLoss(None).compute_loss_from_embeddings([z_ND])
    assert float(gor.regularize(z_ND, gor.Config())) == pytest.approx(float(sum(theirs.values())), abs=1e-6)
    apart = {
        "gor_mean": gor.Config(second_moment_weight=0.0),
        "gor_second_moment": gor.Config(mean_weight=0.0),
    }
    for name, config in apart.items():
        assert float(gor.regularize(z_ND, config)) == pytest.approx(float(theirs[name]), abs=1e-6)


def test_gor_of_unit_rows_is_uncentred_cov_iso_over_d() -> None:
    x_ND = torch.nn.functional.normalize(normal(60, 5) + 1, dim=1)
    n, dim = x_ND.shape
    moment_DD = x_ND.T @ x_ND / n  # tr = 1
    pairs = (moment_DD.square().sum() * n * n - n) / (n * (n - 1))  # without the pairs of a row with itself
    assert torch.allclose(gor.regularize(x_ND, gor.Config(mean_weight=0.0)), pairs - 1 / dim)


def test_cosreg_and_uniformity_are_means_over_pairs() -> None:
    x_ND = torch.tensor([[2.0, 0.0], [0.0, 1.0], [-3.0, 0.0]], dtype=torch.float64)  # cosines 0, -1, 0
    assert float(cosreg.regularize(x_ND, cosreg.Config())) == pytest.approx(-1 / 3)
    expected = math.log((2 * math.exp(-2 * 2) + math.exp(-2 * 4)) / 3)
    assert float(uniformity.regularize(x_ND, uniformity.Config())) == pytest.approx(expected)
    assert float(uniformity.regularize(normal(300, 256), uniformity.Config())) == pytest.approx(-4, abs=0.05)


def test_vicreg_is_its_two_terms() -> None:
    z_ND = normal(30, 4) * 0.5
    c_DD = torch.cov(z_ND.T)
    low = torch.relu(1 - (c_DD.diagonal() + 1e-4).sqrt()).mean()
    crossed = (c_DD.square().sum() - c_DD.diagonal().square().sum()) / 4
    assert torch.allclose(vicreg.regularize(z_ND, vicreg.Config()), 25 * low + crossed)
    assert torch.isfinite(vicreg.regularize(torch.ones(5, 3), vicreg.Config()))


def test_istar_is_one_minus_isoscore_of_the_shrunk_covariance() -> None:
    z_ND, larger_ND = normal(20, 5) * torch.linspace(1, 2, 5, dtype=torch.float64), normal(900, 5, 1)
    reference_DD = torch.cov(larger_ND.T)

    def isoscore(c_DD: Tensor) -> Tensor:
        """Rudman et al. 2022, by eigenvalues."""
        d = len(c_DD)
        values_D = torch.linalg.eigvalsh(c_DD)
        hat_D = math.sqrt(d) * values_D / values_D.norm()
        delta = (hat_D - 1).norm() / math.sqrt(2 * (d - math.sqrt(d)))
        return ((d - delta**2 * (d - math.sqrt(d))) ** 2 - d) / (d * (d - 1))

    assert torch.allclose(istar.regularize(z_ND, istar.Config()), 1 - isoscore(torch.cov(z_ND.T)))
    shrunk = istar.regularize(z_ND, istar.Config(zeta=0.75), reference_DD=reference_DD)
    assert torch.allclose(shrunk, 1 - isoscore(0.25 * torch.cov(z_ND.T) + 0.75 * reference_DD))
    with pytest.raises(ConfigError, match="needs the covariance of a larger sample"):
        istar.regularize(z_ND, istar.Config(zeta=0.75))
    with pytest.raises(ConfigError, match=r"istar\.zeta"):
        istar.Config(zeta=1.0)
