"""Isotropy: how evenly vectors use their dimensions, by every definition that the field reports.

C: centred covariance over N - 1; l: its eigenvalues; d = D; PR = (tr C)^2 / tr C^2; u = x / |x|.

    IsoScore.raw   (PR - 1) / (d - 1): the definition of Rudman et al. 2022 (arXiv 2108.07344) without its eigenvalues
    IsoScore       the same with an unbiased tr C^2: isotropic rows give 1, not 1 / (1 + d/N); above 1 where C is
                   flatter than chance, as it is of rows that a whitening was fitted on
    IsoScore*      IsoScore.raw of (1 - zeta) C + zeta C0, C0 of a larger sample (Rudman and Eickhoff 2024,
                   arXiv 2305.19358)
    mean-cos       mean cosine of two different rows; 1-cos: 1 - |mean-cos|
    I(W)           min Z(c) / max Z(c), Z(c) = sum_i exp(c u_i), over c = +- eigenvectors of sum u u^T (Mu and Viswanath
                   2018, arXiv 1702.01417); of directions, for it depends on scale
    erank          exp of the entropy of l / sum l; erank/d, PR/d: over the dimensions
    eig.min        smallest and largest eigenvalue, and min/max their ratio; top1, top10: share of the variance
    uniformity     log mean_{i != j} exp(-2 |u_i - u_j|^2) (Wang and Isola 2020, arXiv 2005.10242); about -4 at best
    mean/norm      |mean x| / mean |x|; norm.mean, norm.std: of |x|
    SIGReg         LeJEPA's statistic over its value of N(0, I): about 1 there; of sqrt(d) x where rows are of length 1
    ragcun_minmax  min/max without eigenvalues up to 1e-10; ragcun_1mcv: 1 - std l / mean l: the two that ragcun calls
                   isotropy

IsoScore sees neither the mean nor the scale of the rows, mean-cos nothing but the mean: both are needed.
Dimension key: N rows, n rows of a block, D dimensions, P pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.data import draws
from irctl.metrics.vectors.moments import BLOCK, Floats, Moments, directions, of_rows

CENTRED = frozenset(
    "IsoScore IsoScore.raw IsoScore* erank erank/d PR/d eig.min eig.max min/max top1 top10 ragcun_minmax ragcun_1mcv"
    " norm.std".split()
)
"""Measures of differences from the mean; the others are of the rows as they are compared."""
COMPARABLE = frozenset("IsoScore mean-cos 1-cos uniformity norm.mean norm.std alignment".split())
"""Measures whose expectation does not depend on N; the others must not be compared between different N."""
ZETA = 0.75  # share of the larger sample's covariance in IsoScore*, its authors' choice
EXACT = 4096
"""Rows up to which uniformity takes every pair, and of which SIGReg takes all; so many are drawn above."""
PAIRS = 1 << 18  # pairs that uniformity draws above that
NULL = 1.0525  # SIGReg's statistic of N(0, I), whatever N
_SLICES, _KNOTS, _T_MAX = 256, 17, 3.0
_NOTHING = 1e-9  # of tr C^2: below it only rounding is left
_DROPPED = 1e-10  # eigenvalues that ragcun does not count


def measure(
    x_ND: NDArray[Any], *, seed: int = 0, moments: Moments | None = None, reference_DD: Floats | None = None
) -> dict[str, float]:
    """Every measure of these rows, any float dtype. Raises DataError for fewer than three, or if all are equal.

    moments: of the same rows, where they are known. reference_DD: C0 of IsoScore*, which is left out without it.
    seed: of what is drawn: slices, and pairs and rows above EXACT. IsoScore is left out where the rows are as flat as
    so few can be: nothing is left of tr C^2 then, once what chance adds is taken off.
    """
    found = moments if moments is not None else of_rows(x_ND)
    return {**of_moments(found, reference_DD), **_of_rows(x_ND, found, seed)}


def of_moments(m: Moments, reference_DD: Floats | None = None) -> dict[str, float]:
    """The measures that need no rows: all but I(W), uniformity and SIGReg. Raises what `measure` does."""
    c_DD, d = m.covariance_DD, m.dim
    values_D = m.eigenvalues()
    share_D = values_D / values_D.sum()
    trace, squares = _traces(c_DD)
    found = {"IsoScore.raw": isoscore(trace, squares, d)}
    if (unbiased := unbiased_squares(trace, squares, m.rows)) > _NOTHING * squares:
        found = {"IsoScore": isoscore(trace, unbiased, d), **found}
    if reference_DD is not None:
        found["IsoScore*"] = isoscore(*_traces((1 - ZETA) * c_DD + ZETA * reference_DD), d)
    counted_D = values_D[values_D > _DROPPED]
    erank = effective_rank(share_D)
    cos = mean_cosine(m)
    norm = m.norm_sum / m.rows
    return {
        **found,
        "mean-cos": cos,
        "1-cos": 1 - abs(cos),
        "erank": erank,
        "erank/d": erank / d,
        "PR/d": float(1 / (share_D**2).sum()) / d,
        "eig.min": float(values_D[-1]),
        "eig.max": float(values_D[0]),
        "min/max": float(values_D[-1] / values_D[0]),
        "top1": float(share_D[0]),
        "top10": float(share_D[:10].sum()),
        "mean/norm": float(np.linalg.norm(m.mean_D)) / norm,
        "norm.mean": norm,
        "norm.std": max(m.norm_squares / m.rows - norm**2, 0.0) ** 0.5,
        "ragcun_minmax": float(counted_D[-1] / counted_D[0]) if len(counted_D) else 0.0,
        "ragcun_1mcv": float(1 - values_D.std() / values_D.mean()),
    }


def isoscore(trace: float, squares: float, dim: int) -> float:
    """(PR - 1) / (d - 1) from tr C and tr C^2; 1 in one dimension, which is used as evenly as can be."""
    return (trace**2 / squares - 1) / (dim - 1) if dim > 1 else 1.0


def unbiased_squares(trace: float, squares: float, rows: int) -> float:
    """tr C^2 of the population, from tr C and tr C^2 of a sample; exact in the mean for Gaussian rows."""
    n = rows
    return (n - 1) ** 2 / ((n - 2) * (n + 1)) * (squares - trace**2 / (n - 1))


def mean_cosine(m: Moments) -> float:
    """Mean over pairs i != j of cos(x_i, x_j), exact in O(ND); a row of zeros has cosine 0 with every other."""
    directed = float(np.trace(m.unit_moment_DD))  # rows that have a direction
    return (float(m.unit_sum_D @ m.unit_sum_D) - directed) / (m.rows * (m.rows - 1))


def effective_rank(share_D: Floats) -> float:
    """exp of the entropy of shares of the variance (Roy and Vetterli 2007)."""
    share_D = share_D[share_D > 0]
    return float(np.exp(-(share_D * np.log(share_D)).sum()))


def partition(x_ND: NDArray[Any], m: Moments) -> float:
    """I(W). The sign of an eigenvector is arbitrary, so Z is of both."""
    _, vectors_DD = np.linalg.eigh(m.unit_moment_DD)
    z_2D = np.zeros(2 * m.dim)
    for first in range(0, len(x_ND), BLOCK):
        products_nD = directions(x_ND[first : first + BLOCK]) @ vectors_DD
        # products of unit vectors lie in [-1, 1]: no exponential overflows, and of the ratio no digit is lost
        z_2D += np.concatenate([np.exp(products_nD).sum(axis=0), np.exp(-products_nD).sum(axis=0)])
    return float(z_2D.min() / z_2D.max())


def uniformity(x_ND: NDArray[Any], seed: int = 0) -> float:
    """Of all pairs up to EXACT rows, of PAIRS drawn ones above."""
    n = len(x_ND)
    if n <= EXACT:
        u_ND = directions(x_ND)
        total = sum(float(np.exp(4 * (u_ND[i : i + 512] @ u_ND.T) - 4).sum()) for i in range(0, n, 512))
        itself = float(np.exp(4 * np.einsum("nd,nd->n", u_ND, u_ND) - 4).sum())
        return float(np.log((total - itself) / (n * (n - 1))))
    generator = draws.generator("uniformity", seed, n)
    one_P = generator.integers(0, n, PAIRS)
    other_P = (one_P + generator.integers(1, n, PAIRS)) % n
    total = 0.0
    for first in range(0, PAIRS, BLOCK):
        at = slice(first, first + BLOCK)
        cos_n = np.einsum("nd,nd->n", directions(x_ND[one_P[at]]), directions(x_ND[other_P[at]]))
        total += float(np.exp(4 * cos_n - 4).sum())
    return float(np.log(total / PAIRS))


def alignment(queries_PD: NDArray[Any], documents_PD: NDArray[Any]) -> float:
    """Mean |q - p|^2 of directions over judged pairs (Wang and Isola 2020)."""
    apart_PD = directions(queries_PD) - directions(documents_PD)
    return float(np.einsum("pd,pd->p", apart_PD, apart_PD).mean())


def sigreg(x_ND: NDArray[Any], *, are_unit: bool, seed: int = 0) -> float:
    """The statistic over NULL. Off N(0, I) it grows with the rows it is of: all up to EXACT, then so many.

    That of regularizers/sigreg.py with its usual settings, in numpy: who measures cached vectors needs no torch.
    """
    n, dim = x_ND.shape
    if n > EXACT:
        x_ND = x_ND[np.sort(draws.generator("sigreg rows", seed).permutation(n)[:EXACT])]
    slices_DK = draws.generator("sigreg", seed, 0).standard_normal((dim, _SLICES))
    slices_DK /= np.linalg.norm(slices_DK, axis=0)
    y_NK = (x_ND.astype(np.float64) @ slices_DK * (dim**0.5 if are_unit else 1.0)).astype(np.float32)
    t_J = np.linspace(0, _T_MAX, _KNOTS)
    phi_J = np.exp(-(t_J**2) / 2)
    weights_J = 2 * _T_MAX / (_KNOTS - 1) * phi_J
    weights_J[[0, -1]] /= 2
    found_K = np.zeros(_SLICES)
    for t, phi, weight in zip(t_J.tolist(), phi_J.tolist(), weights_J.tolist(), strict=True):
        angles_NK = y_NK * np.float32(t)
        real_K, imaginary_K = (f(angles_NK).mean(axis=0, dtype=np.float64) for f in (np.cos, np.sin))
        found_K += weight * ((real_K - phi) ** 2 + imaginary_K**2)
    return float(len(x_ND) * found_K.mean()) / NULL


def _of_rows(x_ND: NDArray[Any], m: Moments, seed: int) -> dict[str, float]:
    return {
        "I(W)": partition(x_ND, m),
        "uniformity": uniformity(x_ND, seed),
        "SIGReg": sigreg(x_ND, are_unit=m.are_unit, seed=seed),
    }


def _traces(c_DD: Floats) -> tuple[float, float]:
    """(tr C, tr C^2)."""
    return float(np.trace(c_DD)), float((c_DD**2).sum())
