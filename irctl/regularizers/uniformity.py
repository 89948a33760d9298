"""Uniformity on the sphere: log mean_{i != j} exp(-t |x_i - x_j|^2) of unit rows; about -4 at best in many dimensions.

Dimension key: N gathered rows, D dimensions, P pairs i < j.
Source: Wang and Isola 2020, arXiv 2005.10242.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from irctl.errors import ConfigError
from irctl.regularizers import _rows


@dataclass(frozen=True, kw_only=True)
class Config:
    t: float = 2.0  # how fast a pair counts less with its distance

    def __post_init__(self) -> None:
        if not self.t > 0:
            raise ConfigError(f"uniformity.t: expected more than 0, found {self.t}")


def regularize(z_ND: Tensor, config: Config, step: int = 0, seed: int = 0) -> Tensor:
    """The logarithm, in [-4t, 0]. z_ND: gathered rows, any float dtype and length. step, seed: nothing is drawn."""
    x_ND = _rows.take("uniformity", z_ND)
    with _rows.exact(x_ND):
        cos_NN = _rows.unit(x_ND) @ _rows.unit(x_ND).T
        places = cos_NN.new_ones(cos_NN.shape).triu(1).nonzero(as_tuple=True)
        apart_P = 2 - 2 * cos_NN[places]
        found: Tensor = (-config.t * apart_P).logsumexp(0) - math.log(len(apart_P))
        return found
