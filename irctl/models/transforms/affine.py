"""Transforms of finished vectors, fitted on a corpus without training: an affine map for each side, then length 1.

    none         nothing
    centre       x - mean
    soft_whiten  (x - mean) U (L + eps)^(-a/2), 0 <= a <= 1: a = 0 rotates, a = 1 whitens
    whiten       soft_whiten with a = 1; PCA whitening
    remove_top   all-but-the-top: x - mean without its r top directions (Mu & Viswanath 2018, arXiv 1702.01417)
    renorm       x without its projection on the mean (arXiv 2511.11041)

U, L: eigenvectors and eigenvalues, falling, of the corpus' centred covariance. Each side is centred by a mean of its
own, for queries lie elsewhere than documents; matrices are the corpus'. Where vectors are compared by cosine, rows are
scaled to length 1 after it. Statistics and products are float64 and rounded once, so that a row's bytes depend neither
on the block it is read in nor on threads.
Dimension key: N rows, D dimensions, E dimensions after it, Q queries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from irctl.errors import ConfigError, DataError, counted
from irctl.index.arrays import UNIT
from irctl.settings import Transform as Settings

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]

_ROWS = 2048  # rows in float64 at once: 16 MB at 1024 dimensions
_TOP = 100  # all-but-the-top removes one direction of so many (Mu & Viswanath)


@dataclass(frozen=True)
class Statistics:
    """Of all rows of a corpus: how many, their mean and covariance (divided by N), whether all are of length 1."""

    rows: int
    mean_D: Floats
    covariance_DD: Floats
    are_unit: bool

    @cached_property
    def directions(self) -> tuple[Floats, Floats]:
        """(eigenvalues, falling; eigenvectors in columns), found once for all transforms that are fitted on them."""
        return decompose(self.covariance_DD)


def measure(blocks: Iterable[Vectors]) -> Statistics:
    """Statistics of all rows of the blocks [n, D], in one pass and D x D memory. DataError for fewer than two rows.

    Sums are of differences from the first row: the second moment of rows far from the origin has no digits left.
    """
    count, are_unit = 0, True
    shift_D = sum_D = moment_DD = np.empty(0)
    for block_nD in blocks:
        for first in range(0, len(block_nD), _ROWS):
            x_nD = block_nD[first : first + _ROWS].astype(np.float64)
            if not count:
                shift_D, dim = x_nD[0].copy(), x_nD.shape[1]
                sum_D, moment_DD = np.zeros(dim), np.zeros((dim, dim))
            lengths_n = np.sqrt(np.einsum("nd,nd->n", x_nD, x_nD))
            are_unit = are_unit and bool((np.abs(lengths_n - 1) <= UNIT).all())
            x_nD -= shift_D
            sum_D += x_nD.sum(axis=0)
            moment_DD += x_nD.T @ x_nD
            count += len(x_nD)
    if count < 2:
        raise DataError(
            f"transform: a corpus of {counted(count, 'row')} has no covariance", hint="Use transform.name=none"
        )
    mean_D = sum_D / count
    return Statistics(count, shift_D + mean_D, moment_DD / count - np.outer(mean_D, mean_D), are_unit)


@dataclass(frozen=True)
class AffineTransform:
    """A fitted transform: side(x) = (x - mean) matrix, scaled to length 1 where `unit`.

    settings: the names and numbers in force.
    """

    settings: dict[str, str | int | float]
    mean_D: Floats
    matrix_DE: Floats
    query_mean_D: Floats
    query_matrix_DE: Floats
    unit: bool

    @property
    def dim(self) -> int:
        """D: the width that it takes."""
        return len(self.mean_D)

    @property
    def out_dim(self) -> int:
        """E: the width that it makes."""
        return int(self.matrix_DE.shape[1])

    @property
    def label(self) -> str:
        """How tables name it: `soft_whiten a=0.25`."""
        return label(self.settings)

    def documents(self, x_ND: Vectors) -> Vectors:
        """Rows of the corpus, or ones to be compared with queries like those: [N, D] -> [N, E]."""
        return _apply(x_ND, self.mean_D, self.matrix_DE, self.unit)

    def queries(self, x_QD: Vectors) -> Vectors:
        """Queries: [Q, D] -> [Q, E]."""
        return _apply(x_QD, self.query_mean_D, self.query_matrix_DE, self.unit)


def label(settings: dict[str, str | int | float]) -> str:
    """The name, and the numbers that make it what it is; eps where it is not the usual one."""
    own = {k: v for k, v in settings.items() if k != "name" and (k, v) != ("eps", Settings().eps)}
    return " ".join([str(settings["name"]), *(f"{k}={v}" for k, v in own.items())])


def describe(config: Settings) -> dict[str, str | int | float]:
    """The settings that count for this transform, and none of the others: what names it and keys it."""
    own: dict[str, str | int | float] = {"name": config.name}
    if config.name == "soft_whiten":
        own["a"] = config.a
    if config.name == "remove_top":
        own["remove"] = config.remove
    if config.dim:
        own["dim"] = config.dim
    if config.query_mean != "own":
        own["query_mean"] = config.query_mean
    if config.name in ("soft_whiten", "whiten"):
        own["eps"] = config.eps
    return own


def fit(corpus: Statistics, config: Settings, metric: str, query_mean_D: Floats | None) -> AffineTransform:
    """The transform that the settings describe. metric: ip, l2 or cosine, by which what it makes is compared.

    query_mean_D: of training queries; None where there are none: the corpus' mean stands for it.
    Raises ConfigError for a cut that leaves no dimension or more than there are, DataError for a corpus without spread.
    """
    matrix_DE, has_own = _make_matrix(corpus, config, corpus.mean_D), query_mean_D is not None
    if config.query_mean == "none":
        query_mean_D = np.zeros_like(corpus.mean_D)
    elif config.query_mean == "corpus" or query_mean_D is None:
        query_mean_D = corpus.mean_D
    settings = describe(config)
    if config.query_mean == "own" and not has_own:
        settings["query_mean"] = "corpus"
    if config.name == "remove_top":
        settings["remove"] = resolve(config, len(corpus.mean_D)).remove
    # of unit rows the dot product is the cosine, and must stay it; distances are left as they are
    unit = metric == "cosine" or (metric == "ip" and corpus.are_unit)
    if config.name == "renorm":  # linear: a projection away from the mean of its side
        zero_D = np.zeros_like(corpus.mean_D)
        return AffineTransform(settings, zero_D, matrix_DE, zero_D, _make_matrix(corpus, config, query_mean_D), unit)
    return AffineTransform(settings, corpus.mean_D, matrix_DE, query_mean_D, matrix_DE, unit)


def _make_matrix(corpus: Statistics, config: Settings, mean_D: Floats) -> Floats:
    dim = len(mean_D)
    if config.name == "renorm":
        if config.dim:
            raise ConfigError(f"transform.dim={config.dim}: renorm keeps all dimensions", hint="Leave it out")
        length = np.linalg.norm(mean_D)
        direction_D = mean_D / length if length else mean_D
        return np.eye(dim) - np.outer(direction_D, direction_D)
    removed = resolve(config, dim).remove if config.name == "remove_top" else 0
    if config.dim + removed > dim or removed >= dim:
        raise ConfigError(f"transform: cannot keep {config.dim or 'any'} and remove {removed} of {dim} dimensions")
    if config.name == "centre" and not config.dim:
        return np.eye(dim)
    values_D, vectors_DD = corpus.directions
    if config.name == "remove_top" and not config.dim:
        projection_DD: Floats = np.eye(dim) - vectors_DD[:, :removed] @ vectors_DD[:, :removed].T
        return projection_DD
    kept = slice(removed, removed + config.dim if config.dim else None)
    power = {"soft_whiten": config.a, "whiten": 1.0}.get(config.name, 0.0)
    values_E = values_D[kept] / values_D.mean() + config.eps  # of their mean: the transform does not depend on scale
    if power and not values_E.min() > 0:
        raise DataError(
            f"transform: {(values_E == 0).sum()} of {len(values_E)} directions have no variance to be divided by",
            hint="Use transform.eps=1e-06, or keep fewer with transform.dim",
        )
    matrix_DE: Floats = vectors_DD[:, kept] * values_E ** (-power / 2)
    return matrix_DE


def resolve(config: Settings, dim: int) -> Settings:
    """The settings with what they stand for in vectors of this width: equal ones make the same vectors."""
    removed = (config.remove or max(1, dim // _TOP)) if config.name == "remove_top" else 0
    return replace(config, remove=removed, dim=0 if config.dim == dim - removed else config.dim)


def decompose(covariance_DD: Floats) -> tuple[Floats, Floats]:
    """(eigenvalues, falling; eigenvectors in columns, the largest entry of each positive). DataError without spread."""
    values_D, vectors_DD = np.linalg.eigh((covariance_DD + covariance_DD.T) / 2)
    values_D, vectors_DD = np.maximum(values_D[::-1], 0), vectors_DD[:, ::-1]
    if not values_D.sum() > 0:
        raise DataError("transform: all rows of the corpus are the same", hint="Use transform.name=none")
    largest_D = vectors_DD[np.abs(vectors_DD).argmax(axis=0), np.arange(len(values_D))]
    return values_D, vectors_DD * np.where(largest_D < 0, -1.0, 1.0)


def _apply(x_ND: Vectors, mean_D: Floats, matrix_DE: Floats, unit: bool) -> Vectors:
    out_NE = np.empty((len(x_ND), matrix_DE.shape[1]), np.float32)
    for first in range(0, len(x_ND), _ROWS):
        y_nE = (x_ND[first : first + _ROWS].astype(np.float64) - mean_D) @ matrix_DE
        if unit:
            lengths_n = np.sqrt(np.einsum("ne,ne->n", y_nE, y_nE))
            y_nE /= np.where(lengths_n > 0, lengths_n, 1.0)[:, None]
        out_NE[first : first + _ROWS] = y_nE
    return out_NE
