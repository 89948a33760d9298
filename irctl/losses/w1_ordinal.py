"""Wasserstein-1 distance along the scale of grades: score mass at the wrong grade, times how far it must move.

Unlike ws2 it works query by query and knows the order of the grades.

Dimension key: B queries, N candidates of a query.
Source: the one-dimensional optimal transport formula |F_X - F_Y| (Vallender 1974), applied to the grades of
a query's candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from irctl.errors import ConfigError
from irctl.losses import _masked

AUTO_SPREAD = 1.0


@dataclass(frozen=True, kw_only=True)
class Config:
    temperature: float = 1.0  # scores are divided by it, labels are not
    label_temperature: float = 1.0  # grades are divided by it before their softmax

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not self.label_temperature > 0:
            raise ConfigError(
                f"w1_ordinal: temperatures must be above 0, got {self.temperature} and {self.label_temperature}"
            )


def loss(scores_BN: Tensor, labels_BN: Tensor, mask_BN: Tensor, config: Config) -> Tensor:
    """sum over neighbouring grades of (y_(l+1) - y_l) |F_X(l) - F_Y(l)|, F(l) the mass at grades <= l; mean over rows.

    scores_BN: similarities, any float dtype. labels_BN: grades. mask_BN: False where a candidate must not count.
    Rows with two candidates or more count. Not differentiable where the two masses are equal.
    """
    s_BN = _masked.scaled(scores_BN, config.temperature, mask_BN)
    y_BN = _masked.like(labels_BN, s_BN, mask_BN)
    order_BN = (
        y_BN.masked_fill(~mask_BN, float("inf")).sort(dim=1, stable=True).indices
    )  # masked entries last, their mass is 0
    surplus_BN = _masked.softmax(s_BN, mask_BN) - _masked.softmax(y_BN / config.label_temperature, mask_BN)
    apart_BN = surplus_BN.gather(1, order_BN).cumsum(1).abs()
    sorted_BN, keep_BN = y_BN.gather(1, order_BN), mask_BN.gather(1, order_BN)
    step_BN = (sorted_BN[:, 1:] - sorted_BN[:, :-1]).masked_fill(~keep_BN[:, 1:], 0.0)  # 0 inside a grade
    return _masked.mean_of_rows((step_BN * apart_BN[:, :-1]).sum(1), mask_BN.sum(1) >= 2, s_BN)
