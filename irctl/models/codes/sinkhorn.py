"""Balanced assignment: nearest centroids under the constraint that every centroid gets as many vectors as the others.

Entropic optimal transport with uniform marginals, slice after slice, ended on the side of the vectors: a vector's code
is its largest entry of the plan, which is then forgotten. For training only: it carries no gradient, and encoding takes
the nearest. Distances of a slice are first mapped to [-1, 1] by their own extremes, so that eps means the same for any
slice and encoder. 100 rounds at eps .003 do not converge (`row_errors` say how far they are), and balance far better
than a larger eps that does.

Scaling form in float64, exp(1 / eps) being far beyond float32: 2 X K products a round, on a matrix that stays in the
cache, 8 MB at X 4096 and K 256. A device without float64 takes the same rounds as sums of logarithms in float32.

Dimension key: X vectors, E rotated dimensions, M slices, K centroids a slice, d = E / M, S of the M slices.
Source: Cuturi 2013, arXiv 1306.0895; the rounds and their end as in RepCONC, arXiv 2110.05789.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from irctl.errors import ConfigError

WANTED = 4
"""Vectors a centroid below which a plan leaves centroids empty."""
WITHOUT_FLOAT64 = ("mps",)


class BalancedCodes(NamedTuple):
    """codes_XS: uint8. row_errors_S2: |K x a centroid's share of the plan - 1|, (largest, mean) of each slice; nan or
    inf where the rounds overflowed, whose codes mean nothing."""

    codes_XS: Tensor
    row_errors_S2: Tensor


@torch.no_grad()
def assign(
    rotated_XE: Tensor, centroids_MKd: Tensor, slices: Sequence[int], *, eps: float, rounds: int
) -> BalancedCodes:
    """Balanced codes of these slices, one slice in memory at a time. Ties go to the lower code."""
    d = centroids_MKd.shape[2]
    exact = rotated_XE.device.type not in WITHOUT_FLOAT64
    dtype, solve = (torch.float64, solve_by_scaling) if exact else (torch.float32, solve_in_logarithms)
    codes_XS = torch.empty(len(rotated_XE), len(slices), dtype=torch.uint8, device=rotated_XE.device)
    errors_S2 = torch.empty(len(slices), 2, dtype=dtype, device=rotated_XE.device)
    with torch.autocast(rotated_XE.device.type, enabled=False):
        for place, m in enumerate(slices):
            slice_Xd = rotated_XE[:, m * d : (m + 1) * d].to(dtype)
            distances_KX = squared_distances(slice_Xd, centroids_MKd[m].to(dtype))
            codes_X, row_errors_K = solve(distances_KX, eps, rounds)
            codes_XS[:, place] = codes_X.to(torch.uint8)
            errors_S2[place] = torch.stack([row_errors_K.max(), row_errors_K.mean()])
    return BalancedCodes(codes_XS, errors_S2)


def squared_distances(slice_Xd: Tensor, centroids_Kd: Tensor) -> Tensor:
    """|x - c|^2 [K, X] by the binomial formula, at least 0: never the [K, X, d] differences."""
    lengths_K1, lengths_X = centroids_Kd.square().sum(1)[:, None], slice_Xd.square().sum(1)
    return (lengths_K1 + lengths_X - 2 * (centroids_Kd @ slice_Xd.T)).clamp(min=0)


def solve_by_scaling(distances_KX: Tensor, eps: float, rounds: int) -> tuple[Tensor, Tensor]:
    """(codes [X], row errors [K]) by the scalings u, v of exp(-d / eps). For float64."""
    k, x = distances_KX.shape
    kernel_KX = normalize(distances_KX).div_(-eps).exp_()
    v_X = kernel_KX.new_ones(x)
    for _ in range(rounds):
        u_K = 1 / (k * (kernel_KX @ v_X))
        v_X = 1 / (x * (u_K @ kernel_KX))
    row_errors_K = (k * u_K * (kernel_KX @ v_X) - 1).abs()
    return (kernel_KX * u_K[:, None]).argmax(0), row_errors_K


def solve_in_logarithms(distances_KX: Tensor, eps: float, rounds: int) -> tuple[Tensor, Tensor]:
    """As `solve_by_scaling`, for a float32 that would overflow: some twenty times slower."""
    k, x = distances_KX.shape
    plan_KX = normalize(distances_KX) / -eps
    for _ in range(rounds):
        plan_KX = plan_KX - (plan_KX.logsumexp(1, keepdim=True) + math.log(k))
        plan_KX = plan_KX - (plan_KX.logsumexp(0, keepdim=True) + math.log(x))
    row_errors_K = (k * plan_KX.logsumexp(1).exp() - 1).abs()
    return plan_KX.argmax(0), row_errors_K


def normalize(distances_KX: Tensor) -> Tensor:
    """Distances moved and scaled to [-1, 1] by their extremes over all vectors and centroids of the slice."""
    low, high = distances_KX.aminmax()
    return (distances_KX - (high + low) / 2) / ((high - low) / 2 + 1e-5)


def check_rows(rows: int, k: int, what: str) -> str:
    """What to say of balancing so many vectors over k centroids, or ''. ConfigError below one a centroid.

    what: the rows in words that name the settings they come from.
    """
    cures = "more queries or negatives a batch, fewer bits in the index, or repconc.queue"
    if rows < k:
        raise ConfigError(
            f"{what} cannot be spread evenly over {k} centroids: {rows} are fewer",
            hint=f"Use {cures}; or repconc.constraint=false, nearest centroids",
        )
    if rows < WANTED * k:
        return f"{what}: fewer than {WANTED} for each of {k} centroids leave some empty ({cures})"
    return ""


class Balance(NamedTuple):
    """How evenly codes fall, of each slice: mean and largest |n_k / (X / K) - 1|, and centroids without a vector."""

    average_M: Tensor
    largest_M: Tensor
    empty_M: Tensor

    def spread(self) -> dict[str, Tensor]:
        """Each measure's least, mean and greatest over the slices: 'average.min' and so on, scalars."""
        named = zip(("average", "max", "empty"), self, strict=True)
        return {f"{name}.{how}": of(v_M) for name, v_M in named for how, of in _OVER_SLICES.items()}


_OVER_SLICES: dict[str, Callable[[Tensor], Tensor]] = {"min": Tensor.min, "mean": Tensor.mean, "max": Tensor.max}


def measure_balance(codes_XM: Tensor, k: int) -> Balance:
    """Of codes below k [X, M]."""
    rows, slices = codes_XM.shape
    places_XM = codes_XM.long() + k * torch.arange(slices, device=codes_XM.device)
    counts_MK = torch.bincount(places_XM.reshape(-1), minlength=k * slices).reshape(slices, k)
    off_MK = (counts_MK * (k / rows) - 1).abs()
    return Balance(off_MK.mean(1), off_MK.amax(1), (counts_MK == 0).sum(1).float())
