"""Isotropy of rows that something was fitted on is not believed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from irctl.errors import DataError
from irctl.metrics.vectors import held_out, isotropy
from irctl.models.transforms import affine
from irctl.settings import Transform


def fit(x_ND: NDArray[np.float32]) -> affine.AffineTransform:
    return affine.fit(affine.measure([x_ND]), Transform(name="whiten"), "l2", None)


def apply(transform: affine.AffineTransform, x_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    return transform.documents(x_ND)


def anisotropic(n: int = 400, dim: int = 128) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((n, dim)) * np.linspace(1, 0.05, dim)).astype(np.float32)


def test_a_whitening_is_isotropic_above_1_on_its_own_rows_and_far_below_on_others() -> None:
    x = anisotropic()
    own = isotropy.measure(apply(fit(x), x))["IsoScore"]
    crossed = held_out.two_fold(x, fit, apply)
    assert own > 1.3 and crossed.values["IsoScore"] < 0.7
    assert sum(crossed.rows) == 400 and min(crossed.rows) > 150


def test_a_copy_of_a_row_lies_in_its_half_and_the_halves_do_not_depend_on_order() -> None:
    x = anisotropic(60)
    second = held_out.halves(x)
    assert (held_out.halves(np.concatenate([x, x[::-1]])) == np.concatenate([second, second[::-1]])).all()
    seen: list[NDArray[np.float32]] = []

    def watch(x_nD: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(x_nD)
        return x_nD

    held_out.two_fold(np.concatenate([x, x]), watch, lambda fitted, rows: rows)
    both = {row.tobytes() for row in seen[0]} & {row.tobytes() for row in seen[1]}
    assert not both and sum(map(len, seen)) == 120


def test_halves_that_are_too_small_are_refused() -> None:
    with pytest.raises(DataError, match=r"halves of \d and \d rows are too few"):
        held_out.two_fold(anisotropic(4), fit, apply)


def test_rows_that_a_head_was_fitted_on_are_left_out_and_too_few_others_refused() -> None:
    hashes = np.arange(10, dtype=np.uint64)
    left = held_out.left(hashes, np.uint64([1, 2, 99]), "the head of m", least=5)
    assert left.sum() == 8 and not left[[1, 2]].any()
    assert held_out.left(hashes, np.uint64([99]), "the head of m").all()
    with pytest.raises(DataError, match="the head of m was fitted on all but 8 of 10 rows, expected at least 100"):
        held_out.left(hashes, np.uint64([1, 2]), "the head of m")
