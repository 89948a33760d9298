"""The isotropy term of ragcun, as its code has it: ||C - vI||_F / D, with v the variance over all entries.

Not scale free, whatever its comment says: v sqrt(D / PR - 1) / sqrt(D), least when the rows collapse; and v takes up
the spread of the means of the dimensions, so that the target is off where these differ. cov_iso is ours.
Dimension key: N gathered rows, D dimensions.
Source: ctn/ragcun, scripts/train.py, SIGRegLoss ("isotropy").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irctl.regularizers import _rows


@dataclass(frozen=True, kw_only=True)
class Config:
    pass


def regularize(z_ND: Tensor, config: Config, step: int = 0, seed: int = 0) -> Tensor:
    """||C - vI||_F / D; C over N - 1. z_ND: gathered rows, any float dtype. step, seed: nothing is drawn."""
    x_ND = _rows.take("cov_iso_ragcun", z_ND)
    with _rows.exact(x_ND):
        c_ND = _rows.centred(x_ND)
        c_DD = (c_ND.T @ c_ND) / (len(x_ND) - 1)
        target_DD = torch.eye(len(c_DD), device=x_ND.device, dtype=x_ND.dtype) * torch.var(x_ND)
        apart: Tensor = torch.linalg.norm(c_DD - target_DD) / len(c_DD)
        return apart
