"""What every file of irctl/losses must keep."""

from __future__ import annotations

import pytest
import torch

from irctl import plugins
from irctl.errors import ConfigError

NAMES = plugins.names("losses")
# raising the score of the row's best passage must lower these at once; others aim at a target that can be passed
FALLS = ("infonce", "listmle", "ranknet", "cosent", "approxndcg", "bixse", "triplet")


def example(rows: int = 3, columns: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores without ties, every row with grades 3, 2, 1, 0 somewhere, one masked column in row 0."""
    generator = torch.Generator().manual_seed(seed)
    scores_BN = torch.randn(rows, columns, dtype=torch.float64, generator=generator)
    labels_BN = torch.zeros(rows, columns, dtype=torch.float64)
    for row in range(rows):
        labels_BN[row, torch.randperm(columns, generator=generator)[:3]] = torch.tensor([3.0, 2.0, 1.0]).double()
    mask_BN = torch.ones(rows, columns, dtype=torch.bool)
    mask_BN[0, (labels_BN[0] == 0).nonzero()[0]] = False
    return scores_BN, labels_BN, mask_BN


def compute(name: str, scores_BN: torch.Tensor, labels_BN: torch.Tensor, mask_BN: torch.Tensor) -> torch.Tensor:
    module = plugins.load("losses", name)
    return module.loss(scores_BN, labels_BN, mask_BN, module.Config())


def gradient(name: str, scores_BN: torch.Tensor, labels_BN: torch.Tensor, mask_BN: torch.Tensor) -> torch.Tensor:
    leaf_BN = scores_BN.clone().requires_grad_()
    compute(name, leaf_BN, labels_BN, mask_BN).backward()
    assert leaf_BN.grad is not None
    return leaf_BN.grad


@pytest.mark.parametrize("name", NAMES)
def test_gradient_equals_numeric_differences(name: str) -> None:
    scores_BN, labels_BN, mask_BN = example()
    assert torch.autograd.gradcheck(
        lambda s: compute(name, s, labels_BN, mask_BN), scores_BN.requires_grad_(), eps=1e-7, atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("name", NAMES)
def test_masked_column_equals_removed_column(name: str) -> None:
    scores_BN, labels_BN, mask_BN = example()
    mask_BN[:] = True
    mask_BN[:, 2] = False
    keep = [0, 1, 3, 4, 5]
    dirty_BN = scores_BN.clone()
    dirty_BN[:, 2] = float("inf")  # nothing of a masked entry may leak, not even through 0 * inf
    removed = compute(name, scores_BN[:, keep], labels_BN[:, keep], mask_BN[:, keep])
    assert torch.allclose(compute(name, dirty_BN, labels_BN, mask_BN), removed, rtol=1e-12)
    grad_BN = gradient(name, scores_BN, labels_BN, mask_BN)
    assert (grad_BN[:, 2] == 0).all()
    assert torch.allclose(
        grad_BN[:, keep], gradient(name, scores_BN[:, keep], labels_BN[:, keep], mask_BN[:, keep]), rtol=1e-10
    )


@pytest.mark.parametrize("name", NAMES)
def test_order_of_columns_and_rows_does_not_matter(name: str) -> None:
    scores_BN, labels_BN, mask_BN = example(rows=4, columns=7)
    columns, rows = torch.tensor([3, 0, 6, 5, 1, 2, 4]), torch.tensor([2, 0, 3, 1])
    whole = compute(name, scores_BN, labels_BN, mask_BN)
    turned = compute(name, *(x[rows][:, columns] for x in (scores_BN, labels_BN, mask_BN)))
    assert torch.allclose(whole, turned, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("label", [0.0, 2.0])
def test_equal_labels_give_a_finite_loss(name: str, label: float) -> None:
    scores_BN, labels_BN, mask_BN = example()
    labels_BN[:] = label
    grad_BN = gradient(name, scores_BN, labels_BN, mask_BN)
    assert torch.isfinite(grad_BN).all()
    assert torch.isfinite(compute(name, scores_BN, labels_BN, mask_BN))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("candidates", [0, 1])
def test_rows_with_one_candidate_or_none_are_harmless(name: str, candidates: int) -> None:
    scores_BN, labels_BN, mask_BN = example()
    mask_BN[1] = False
    mask_BN[1, :candidates] = True
    grad_BN = gradient(name, scores_BN, labels_BN, mask_BN)
    assert torch.isfinite(grad_BN).all()
    mask_BN[:] = False
    mask_BN[:, :candidates] = True
    assert torch.isfinite(gradient(name, scores_BN, labels_BN, mask_BN)).all()
    assert torch.isfinite(compute(name, scores_BN, labels_BN, mask_BN))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_huge_scores_stay_finite_in_every_precision(name: str, dtype: torch.dtype) -> None:
    scores_BN, labels_BN, mask_BN = example()
    huge_BN = (scores_BN.sign() * 1e4).to(dtype)
    if name == "marginmse":  # the square of 2e4 fits float32, and a half-precision gradient cannot hold it
        huge_BN = huge_BN.float()
    assert torch.isfinite(compute(name, huge_BN, labels_BN, mask_BN))
    assert torch.isfinite(gradient(name, huge_BN, labels_BN, mask_BN)).all()


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_follows_double_precision(name: str) -> None:
    scores_BN, labels_BN, mask_BN = example(rows=8, columns=24)
    exact_BN = scores_BN.half().double()  # the same numbers in every precision
    wanted = compute(name, exact_BN, labels_BN, mask_BN).item()
    for dtype in (torch.float16, torch.float32):
        got = compute(name, exact_BN.to(dtype), labels_BN.float(), mask_BN)
        assert got.dtype == torch.float32
        assert got.item() == pytest.approx(wanted, rel=2e-5, abs=1e-6)


@pytest.mark.parametrize("name", FALLS)
def test_loss_falls_when_the_best_passage_rises(name: str) -> None:
    scores_BN, labels_BN, mask_BN = example()
    row, column = 1, int(labels_BN[1].argmax())
    before = compute(name, scores_BN, labels_BN, mask_BN)
    scores_BN[row, column] += 0.5
    assert compute(name, scores_BN, labels_BN, mask_BN) < before


@pytest.mark.parametrize("name", NAMES)
def test_no_random_numbers_are_drawn(name: str) -> None:
    state = torch.random.get_rng_state()
    compute(name, *example())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", NAMES)
def test_settings_compile_alone_and_refuse_a_temperature_of_zero(name: str) -> None:
    alone = plugins.config_class("losses", name)
    assert alone is not None and alone().temperature == 1.0
    with pytest.raises(ConfigError, match=f"{name}: .*must be above 0"):
        alone(temperature=0.0)


@pytest.mark.parametrize("name", NAMES)
def test_file_states_its_auto_temperature_and_source(name: str) -> None:
    assert plugins.literal("losses", name, "AUTO_SPREAD") in (0.0, 1.0, 3.0)
    doc = plugins.load("losses", name).__doc__
    assert doc and "Source:" in doc
