"""Global orthogonal regularization: cosines of unrelated rows with the first two moments of a uniform sphere.

w1 (mean_{i != j} cos)^2 + w2 relu(mean_{i != j} cos^2 - 1/D). For unit rows the second is the uncentred, debiased
cov_iso over D.
Dimension key: N gathered rows, D dimensions.
Source: Zhang et al. 2017, Learning Spread-out Local Feature Descriptors, arXiv 1708.06320; the values of
sentence-transformers' GlobalOrthogonalRegularizationLoss.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import relu

from irctl.errors import ConfigError
from irctl.regularizers import _rows


@dataclass(frozen=True, kw_only=True)
class Config:
    mean_weight: float = 1.0  # of the squared mean
    second_moment_weight: float = 1.0  # of what the mean square has above 1/D

    def __post_init__(self) -> None:
        if not (self.mean_weight >= 0 and self.second_moment_weight >= 0):
            raise ConfigError(
                f"gor: expected weights of 0 or more, found {self.mean_weight} and {self.second_moment_weight}"
            )


def regularize(z_ND: Tensor, config: Config, step: int = 0, seed: int = 0) -> Tensor:
    """Both terms, weighted. z_ND: gathered rows, any float dtype and length. step, seed: nothing is drawn."""
    x_ND = _rows.take("gor", z_ND)
    with _rows.exact(x_ND):
        mean, second = _rows.pair_cosines(x_ND)
        above = relu(second - 1 / x_ND.shape[1])
        return config.mean_weight * mean.square() + config.second_moment_weight * above
