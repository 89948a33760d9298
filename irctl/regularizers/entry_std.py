"""Holds the spread up: (standard deviation of all entries - 1)^2.

Dimension key: N gathered rows, D dimensions.
Source: ctn/ragcun, scripts/train.py, SIGRegLoss ("regularization").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irctl.errors import ConfigError
from irctl.regularizers import _rows


@dataclass(frozen=True, kw_only=True)
class Config:
    target: float = 1.0  # standard deviation wanted; training gives unit rows at length sqrt(D), where it is near 1

    def __post_init__(self) -> None:
        if not self.target > 0:
            raise ConfigError(f"entry_std.target: expected more than 0, found {self.target}")


def regularize(z_ND: Tensor, config: Config, step: int = 0, seed: int = 0) -> Tensor:
    """(std - target)^2 over all N D entries. z_ND: gathered rows, any float dtype. step, seed: nothing is drawn."""
    x_ND = _rows.take("entry_std", z_ND)
    with _rows.exact(x_ND):
        return (torch.std(x_ND) - config.target).square()
