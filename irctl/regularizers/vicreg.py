"""VICReg's two terms of one set of rows: variance of each dimension above 1, covariances of different ones at 0.

25 mean_d relu(1 - sqrt(var_d + 1e-4)) + sum_{i != j} C_ij^2 / D. Its third term, the squared distance of a pair, needs
the pairs and so is a loss.
Dimension key: N gathered rows, D dimensions.
Source: Bardes, Ponce and LeCun 2022, arXiv 2105.04906.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import relu

from irctl.errors import ConfigError
from irctl.regularizers import _rows

EPSILON = 1e-4
"""Under the root: its gradient stays finite where a dimension has collapsed."""


@dataclass(frozen=True, kw_only=True)
class Config:
    variance: float = 25.0  # weight of the variances
    covariance: float = 1.0  # weight of the covariances

    def __post_init__(self) -> None:
        if not (self.variance >= 0 and self.covariance >= 0):
            raise ConfigError(f"vicreg: expected weights of 0 or more, found {self.variance} and {self.covariance}")


def regularize(z_ND: Tensor, config: Config, step: int = 0, seed: int = 0) -> Tensor:
    """Both terms, weighted. z_ND: gathered rows, any float dtype. step, seed: nothing is drawn."""
    x_ND = _rows.take("vicreg", z_ND)
    with _rows.exact(x_ND):
        _, squares = _rows.covariance_moments(x_ND)
        variance_D = x_ND.var(0)
        low = relu(1 - (variance_D + EPSILON).sqrt()).mean()
        crossed = (squares - variance_D.square().sum()) / x_ND.shape[1]
        return config.variance * low + config.covariance * crossed
