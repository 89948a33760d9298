"""SIGReg: how far random one-dimensional projections of the rows are from N(0, 1), by their characteristic functions.

T_k = N sum_j w_j [(mean_i cos(t_j Y_ik) - phi_j)^2 + (mean_i sin(t_j Y_ik))^2], phi_j = exp(-t_j^2 / 2), and SIGReg is
the mean over slices: an Epps-Pulley statistic, N times the integral of |phi_hat(t) - phi(t)|^2 exp(-t^2 / 2). Rows of
N(0, I) give 1.05 on average, not 0, whatever N; off the target it grows with N. The target is mean 0 and variance 1 in
every direction: of unit rows that is sqrt(D) times them. Far from it the gradient vanishes.
Dimension key: N gathered rows, D dimensions, K slices, J knots. Cost: O(NDK + NKJ), no D x D matrix.
Source: Balestriero and LeCun 2025, LeJEPA, arXiv 2511.08544 (rbalestr-lab/lejepa).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from irctl.data import draws
from irctl.errors import ConfigError
from irctl.regularizers import _rows

AT_ONCE = 1 << 24
"""Values of [N, slices, J] that are kept for the gradient; larger problems are computed again a part at a time."""


@dataclass(frozen=True, kw_only=True)
class Config:
    slices: int = 1024  # random directions, drawn anew every step
    knots: int = 17  # points of the integral; odd
    t_max: float = 3.0  # where the integral ends
    scale: str = "statistic"  # statistic: grows with N off the target; per_sample: divided by N
    clip: float = 0.0  # statistics below it count 0

    def __post_init__(self) -> None:
        if self.slices < 1 or self.knots < 3 or self.knots % 2 == 0:
            found = f"{self.slices} and {self.knots}"
            raise ConfigError(f"sigreg: expected slices >= 1 and odd knots >= 3, found {found}")
        if not self.t_max > 0 or not self.clip >= 0:
            raise ConfigError(f"sigreg: expected t_max > 0 and clip >= 0, found {self.t_max} and {self.clip}")
        if self.scale not in ("statistic", "per_sample"):
            raise ConfigError(f"sigreg.scale: expected statistic or per_sample, found {self.scale}")


def regularize(z_ND: Tensor, config: Config, step: int = 0, seed: int = 0) -> Tensor:
    """The mean over slices of T_k, or of T_k / N. z_ND: gathered rows, any float dtype.

    Slices are drawn on the CPU from (seed, step) alone: equal on every process and device.
    """
    x_ND = _rows.take("sigreg", z_ND)
    n, dim = x_ND.shape
    with _rows.exact(x_ND):
        slices_DK = draw_slices(dim, config.slices, step, seed).to(x_ND)
        t_J, phi_J, weights_J = integral(config, x_ND)
        width = max(1, AT_ONCE // (n * config.knots))
        parts = torch.split(slices_DK, width, dim=1)
        if len(parts) == 1:
            found_K = _statistics(x_ND, slices_DK, t_J, phi_J, weights_J)
        else:
            again = (checkpoint(_statistics, x_ND, p, t_J, phi_J, weights_J, use_reentrant=False) for p in parts)
            found_K = torch.cat(list(again))
        found_K = torch.where(found_K < config.clip, torch.zeros_like(found_K), found_K)
        return found_K.mean() / (n if config.scale == "per_sample" else 1)


def draw_slices(dim: int, count: int, step: int, seed: int) -> Tensor:
    """count directions of length 1, as columns [dim, count], float64."""
    generator = draws.generator("sigreg", seed, step)
    slices_DK: Tensor = torch.from_numpy(generator.standard_normal((dim, count)))
    return torch.nn.functional.normalize(slices_DK, dim=0)


def integral(config: Config, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(t_J, phi_J, weights_J) of the trapezoid over [0, t_max], doubled for the half line that mirrors it."""
    t_J = torch.linspace(0, config.t_max, config.knots, dtype=torch.float64)
    phi_J = torch.exp(-t_J.square() / 2)
    weights_J = 2 * (config.t_max / (config.knots - 1)) * phi_J
    weights_J[[0, -1]] /= 2
    return t_J.to(like), phi_J.to(like), weights_J.to(like)


def _statistics(x_ND: Tensor, slices_DK: Tensor, t_J: Tensor, phi_J: Tensor, weights_J: Tensor) -> Tensor:
    """T of every slice [K]."""
    y_NKJ = (x_ND @ slices_DK)[:, :, None] * t_J
    apart_KJ = (y_NKJ.cos().mean(0) - phi_J).square() + y_NKJ.sin().mean(0).square()
    found_K: Tensor = len(x_ND) * (apart_KJ @ weights_J)
    return found_K
