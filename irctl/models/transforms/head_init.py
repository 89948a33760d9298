"""How a projection head begins: as an affine map of what enters it, exactly, through its GELU.

GELU(x) - GELU(-x) = x, so Linear(E, 2E) = [aR; -aR], bias 0, and Linear(2E, D) = [M R^T, -M R^T] / a, bias c, give
M x + c for every x. R is a random rotation, so that the 2E units differ; a scales them to variance 1, where GELU bends.
Dimension key: N rows, E dimensions that enter the head, D that leave it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from irctl import files
from irctl.data import draws
from irctl.models.transforms import affine
from irctl.models.transforms.affine import AffineTransform, Floats, Statistics


class AffineStart(NamedTuple):
    """x -> M x + c. spread: root mean square of the entries of x."""

    matrix_DE: Floats
    bias_D: Floats
    spread: float


@dataclass(frozen=True)
class Start:
    """What a head begins with that was fitted on texts: the first layers' map, the transform before it if any, and
    hashes of the texts.
    """

    affine: AffineStart
    transform: AffineTransform | None = None
    hashes: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))


class HeadWeights(NamedTuple):
    """Of the two layers of a head, U = 2E units between them."""

    first_UE: Floats
    first_bias_U: Floats
    second_DU: Floats
    second_bias_D: Floats


def fit_pca(sample: Statistics, dim: int) -> AffineStart:
    """s W (x - mean): the first D principal directions, scaled so that entries have variance 1 over the sample."""
    values_E, vectors_EE = affine.decompose(sample.covariance_DD)
    scale = np.sqrt(dim / values_E[:dim].sum())
    matrix_DE = scale * vectors_EE[:, :dim].T
    return AffineStart(matrix_DE, -matrix_DE @ sample.mean_D, _spread(sample))


def keep(sample: Statistics) -> AffineStart:
    """x as it is, scaled as `fit_pca` scales: entries have variance 1 in the mean over the sample.

    Without that, a step of the learning rate that suits a head of principal directions would be a large part of it.
    """
    dim = len(sample.mean_D)
    scale = np.sqrt(dim / np.trace(sample.covariance_DD))
    return AffineStart(scale * np.eye(dim), np.zeros(dim), _spread(sample))


def _spread(sample: Statistics) -> float:
    mean_square = (np.trace(sample.covariance_DD) + sample.mean_D @ sample.mean_D) / len(sample.mean_D)
    return float(np.sqrt(mean_square))


def weights_of(start: AffineStart, seed: int) -> HeadWeights:
    """The two layers that give the affine map."""
    width = start.matrix_DE.shape[1]
    drawn_EE, upper_EE = np.linalg.qr(draws.generator("head", seed).standard_normal((width, width)))
    rotation_EE = drawn_EE * np.sign(np.diag(upper_EE))  # uniform over rotations, and the same by any LAPACK
    a = 1 / start.spread
    turned_DE = start.matrix_DE @ rotation_EE.T / a
    return HeadWeights(
        np.concatenate([a * rotation_EE, -a * rotation_EE]),
        np.zeros(2 * width),
        np.concatenate([turned_DE, -turned_DE], axis=1),
        start.bias_D,
    )


def save(path: Path, start: Start, key: str) -> None:
    """Write the arrays and what they were fitted by. key: of model, texts and settings."""
    arrays: dict[str, Any] = {"key": np.array(key), "hashes": start.hashes, **start.affine._asdict()}
    if start.transform is not None:
        arrays |= {f"transform_{name}": getattr(start.transform, name) for name in _OF_A_TRANSFORM}
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    files.write_atomic(path, packed.getvalue())


def load(path: Path, key: str) -> Start | None:
    """What was kept under this key; None where nothing was."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as found:
        if str(found["key"]) != key:
            return None
        start = AffineStart(found["matrix_DE"], found["bias_D"], float(found["spread"]))
        parts = {name: found[f"transform_{name}"] for name in _OF_A_TRANSFORM if f"transform_{name}" in found}
        transform = AffineTransform(settings={}, **{**parts, "unit": bool(parts["unit"])}) if parts else None
        return Start(start, transform, found["hashes"])


_OF_A_TRANSFORM = ("mean_D", "matrix_DE", "query_mean_D", "query_matrix_DE", "unit")
