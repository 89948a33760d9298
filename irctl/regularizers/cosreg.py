"""Mean cosine of different rows. It sees their common mean and nothing else.

Dimension key: N gathered rows, D dimensions.
Source: Gao et al. 2019, Representation Degeneration Problem, arXiv 1907.12009 (there over word embeddings).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from irctl.regularizers import _rows


@dataclass(frozen=True, kw_only=True)
class Config:
    pass


def regularize(z_ND: Tensor, config: Config, step: int = 0, seed: int = 0) -> Tensor:
    """The mean over pairs i != j, in [-1 / (N - 1), 1]. z_ND: gathered rows, any float dtype.

    step, seed: nothing is drawn.
    """
    x_ND = _rows.take("cosreg", z_ND)
    with _rows.exact(x_ND):
        return (_rows.unit(x_ND).sum(0).square().sum() - _rows.unit(x_ND).square().sum()) / (
            len(x_ND) * (len(x_ND) - 1)
        )
