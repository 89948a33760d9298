"""I-STAR: 1 - IsoScore* of the covariance, (D - PR) / (D - 1), shrunk towards that of a larger sample.

Its authors found lower isotropy better on most tasks and models: less of it is not always worse.
Dimension key: N gathered rows, D dimensions.
Source: Rudman and Eickhoff 2024, Stable Anisotropic Regularization, arXiv 2305.19358. IsoScore is (PR - 1) / (D - 1):
no eigenvalues are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from irctl.errors import ConfigError, DataError
from irctl.regularizers import _rows

LARGER_SAMPLE = "zeta"
"""The setting that asks, above 0, for the covariance of a larger sample, measured before training."""


@dataclass(frozen=True, kw_only=True)
class Config:
    zeta: float = 0.0  # share of the covariance of a larger sample of training rows, in [0, 1); its authors use 0.75

    def __post_init__(self) -> None:
        if not 0 <= self.zeta < 1:
            raise ConfigError(f"istar.zeta: expected 0 up to below 1, found {self.zeta}")


def regularize(
    z_ND: Tensor, config: Config, step: int = 0, seed: int = 0, *, reference_DD: Tensor | None = None
) -> Tensor:
    """1 - IsoScore* of (1 - zeta) C + zeta C0, in [0, 1]; 0 in one dimension. z_ND: gathered rows, any float dtype.

    reference_DD: C0, the covariance of a larger sample, without a gradient. Raises ConfigError where zeta asks for it
    and it is not given, DataError where all rows are equal. step, seed: nothing is drawn.
    """
    x_ND = _rows.take("istar", z_ND)
    if config.zeta and reference_DD is None:
        raise ConfigError(f"istar.zeta: {config.zeta} needs the covariance of a larger sample", hint="Use istar.zeta=0")
    dim = x_ND.shape[1]
    with _rows.exact(x_ND):
        trace, squares = _rows.covariance_moments(x_ND)
        if reference_DD is not None and config.zeta:
            c_ND = _rows.centred(x_ND)
            c_DD = (1 - config.zeta) * (c_ND.T @ c_ND) / (len(x_ND) - 1) + config.zeta * reference_DD.to(x_ND)
            trace, squares = c_DD.diagonal().sum(), c_DD.square().sum()
        if not trace > 0:
            raise DataError(f"istar: all {len(x_ND)} rows are equal, they have no covariance", hint="Collapsed?")
        ratio = trace.square() / squares
        return (dim - ratio) / max(dim - 1, 1)
