"""What every file of irctl/regularizers must keep."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from irctl import plugins
from irctl.errors import DataError

NAMES = plugins.names("regularizers")


def example(n: int = 7, dim: int = 4, seed: int = 0) -> Tensor:
    """Rows off the origin, so that none of the terms is at its kink."""
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.3


def compute(name: str, z_ND: Tensor, **more: Any) -> Tensor:
    module = plugins.load("regularizers", name)
    settings = {"slices": 8} if name == "sigreg" else {}
    return module.regularize(z_ND, module.Config(**settings), **{"step": 3, **more})


def gradient(name: str, z_ND: Tensor) -> Tensor:
    leaf_ND = z_ND.clone().requires_grad_()
    compute(name, leaf_ND).backward()
    assert leaf_ND.grad is not None
    return leaf_ND.grad


def test_the_folder_holds_those_of_the_literature() -> None:
    assert set(NAMES) == set("sigreg cov_iso cov_iso_ragcun entry_std uniformity vicreg cosreg gor istar".split())


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_number_that_the_order_of_rows_does_not_change(name: str) -> None:
    z_ND = example()
    whole = compute(name, z_ND)
    assert whole.shape == () and whole.dtype == torch.float64
    assert torch.allclose(compute(name, z_ND[torch.randperm(len(z_ND))]), whole, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(7, 4), (3, 6), (5, 1)])
def test_the_gradient_is_the_numeric_one(name: str, shape: tuple[int, int]) -> None:
    z_ND = example(*shape).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: compute(name, z), z_ND, eps=1e-6, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_computed_in_single(name: str, dtype: torch.dtype) -> None:
    z_ND = (20 * example(64, 16)).to(dtype)  # squares of its lengths overflow float16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = compute(name, z_ND)
    assert found.dtype == torch.float32 and torch.isfinite(found)
    assert torch.allclose(found.double(), compute(name, z_ND.double()), rtol=1e-4, atol=1e-5)
    grad_ND = gradient(name, z_ND)
    assert grad_ND.dtype == dtype and torch.isfinite(grad_ND).all()


@pytest.mark.parametrize("name", NAMES)
def test_one_dimension_gives_a_finite_value_and_gradient(name: str) -> None:
    z_ND = example(9, 1)
    assert torch.isfinite(compute(name, z_ND)) and torch.isfinite(gradient(name, z_ND)).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(0, 4), (2, 4), (4,)])
def test_fewer_than_three_rows_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=f"{name}: expected at least 3 rows"):
        compute(name, torch.ones(shape))


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_are_not_contiguous_are_rows(name: str) -> None:
    z_ND = example()
    assert torch.allclose(compute(name, z_ND.T.contiguous().T), compute(name, z_ND), rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_and_a_step_give_the_same_value_again(name: str) -> None:
    z_ND = example()
    assert compute(name, z_ND, step=5, seed=1) == compute(name, z_ND, step=5, seed=1)
