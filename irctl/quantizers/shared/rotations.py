"""Rotations that spread a vector evenly over its dimensions: a random dense matrix, or signs and Hadamard transforms.

Dimension key: N rows, D dimensions, E output dimensions (D unless reduced).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.errors import ConfigError
from irctl.quantizers.shared import blocks

_ROUNDS = 3  # one round leaves sparse rows on a few equal magnitudes


def random_orthogonal(dim: int, seed: int) -> NDArray[np.float32]:
    """A rotation drawn uniformly: QR of a Gaussian matrix, signs of R's diagonal fixed (Mezzadri, math-ph/0609050)."""
    q_DD, r_DD = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))
    return np.ascontiguousarray(q_DD * np.sign(np.diag(r_DD)), dtype=np.float32)


def resolve(kind: str, dim: int) -> str:
    """The kind behind `auto`: Hadamard when D is a power of two (it would have to pad others), else dense."""
    power = dim & (dim - 1) == 0
    if kind == "auto":
        return "hadamard" if power else "dense"
    if kind == "hadamard" and not power:
        message = f"rabitq.rotation=hadamard needs a power of two dimensions, found {dim}"
        raise ConfigError(message, hint="--set rabitq.rotation=dense")
    return kind


def make(kind: str, dim: int, seed: int) -> dict[str, NDArray[np.float32]]:
    """The named arrays of a rotation: `rotation` [D, D], `signs` [rounds, D], or nothing."""
    kind = resolve(kind, dim)
    if kind == "dense":
        return {"rotation": random_orthogonal(dim, seed)}
    if kind == "hadamard":
        signs = np.random.default_rng(seed).integers(0, 2, (_ROUNDS, dim)) * 2 - 1
        return {"signs": signs.astype(np.float32)}
    return {}


def apply(arrays: dict[str, NDArray[np.float32]], x_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """x R^T: the rotated rows [N, E]."""
    if "rotation" in arrays:
        return blocks.multiply(x_ND, np.ascontiguousarray(arrays["rotation"].T))
    if "signs" in arrays:
        return _hadamard(x_ND, arrays["signs"])
    return x_ND


def apply_by_block(
    arrays: Mapping[str, NDArray[np.float32]],
    x_ND: NDArray[np.float32],
    work: Callable[[NDArray[np.float32], slice], None],
) -> None:
    """Call `work(rotated block [500, E], rows)` for the blocks of `blocks.run_blocks`: they stay in the CPU's cache.

    The rotated rows are those of `apply`, bit for bit. Without a rotation a block may be x itself: it is not to change.
    """
    if "rotation" in arrays:
        matrix_DE = np.ascontiguousarray(arrays["rotation"].T)
        blocks.run_blocks(x_ND, lambda block_BD, rows: work(block_BD @ matrix_DE, rows))
    elif "signs" in arrays:
        from irctl.quantizers.shared.faiss_tools import limit_to_one_thread

        transform = _make_transform(arrays["signs"])

        def turn(block_BD: NDArray[np.float32], rows: slice) -> None:
            with limit_to_one_thread():
                turned_BD = transform.apply(block_BD)
            work(turned_BD, rows)

        blocks.run_blocks(np.ascontiguousarray(x_ND, np.float32), turn)
    else:
        blocks.run_blocks(x_ND, work)


def undo(arrays: dict[str, NDArray[np.float32]], y_NE: NDArray[np.float32]) -> NDArray[np.float32]:
    """y R: back to the original axes (the nearest point, where the rotation dropped dimensions)."""
    if "rotation" in arrays:
        return blocks.multiply(y_NE, arrays["rotation"])
    if "signs" in arrays:
        return _hadamard(y_NE, arrays["signs"], backwards=True)
    return y_NE


def matrix(arrays: dict[str, NDArray[np.float32]], dim: int) -> NDArray[np.float32]:
    """R [E, D], as other programs want it."""
    return np.ascontiguousarray(apply(arrays, np.eye(dim, dtype=np.float32)).T)


def _hadamard(x_ND: NDArray[np.float32], signs_RD: NDArray[np.float32], backwards: bool = False) -> NDArray[np.float32]:
    transform = _make_transform(signs_RD)
    x_ND = np.ascontiguousarray(x_ND, np.float32)
    out_ND: NDArray[np.float32] = transform.reverse_transform(x_ND) if backwards else transform.apply(x_ND)
    return out_ND


def _make_transform(signs_RD: NDArray[np.float32]) -> Any:
    """Rounds of sign flips and a normalised Hadamard transform, by faiss. A row's bytes never depend on the batch."""
    import faiss

    transform: Any = faiss.HadamardRotation(signs_RD.shape[1])
    for own, signs_D in zip((transform.signs1, transform.signs2, transform.signs3), signs_RD, strict=True):
        faiss.copy_array_to_vector(np.ascontiguousarray(signs_D), own)
    return transform
