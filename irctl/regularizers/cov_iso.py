"""Covariance isotropy, free of scale: ||C - vI||_F^2 / ||vI||_F^2 = D / PR - 1, with v = tr C / D.

PR = (tr C)^2 / ||C||_F^2 is the participation ratio. It sees neither the mean nor the scale, and so does not hold the
variance up: use it beside entry_std, or with a score that knows no length.
Dimension key: N gathered rows, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from irctl.errors import DataError
from irctl.regularizers import _rows


@dataclass(frozen=True, kw_only=True)
class Config:
    debias: bool = False  # subtract D / (N - 1), what isotropic rows give; the gradient stays


def regularize(z_ND: Tensor, config: Config, step: int = 0, seed: int = 0) -> Tensor:
    """D ||C||_F^2 / (tr C)^2 - 1, at least 0 unless debiased. z_ND: gathered rows, any float dtype.

    Raises DataError where all rows are equal. step, seed: nothing is drawn.
    """
    x_ND = _rows.take("cov_iso", z_ND)
    with _rows.exact(x_ND):
        trace, squares = _rows.covariance_moments(x_ND)
        if not trace > 0:
            raise DataError(f"cov_iso: all {len(x_ND)} rows are equal, they have no covariance", hint="Collapsed?")
        offset = x_ND.shape[1] / (len(x_ND) - 1) if config.debias else 0.0
        return x_ND.shape[1] * squares / trace.square() - 1 - offset
