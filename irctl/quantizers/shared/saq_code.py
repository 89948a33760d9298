"""SAQ's grid codes of one segment: nearest grid point, then coordinate moves that turn the code towards the vector.

Everything is elementwise over rows, so a row's code does not depend on the rows beside it.
Dimension key: R rows of a block, L dimensions of the segment; arrays are held transposed, one dimension a line.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROWS = 10240  # a line of float32 is 40 KB: the calls are hidden, and a batch of 10,000 is one block
ENOUGH = 0.01
"""A row is done when a round lowered its error sin^2 by less than this share: later rounds cost more than they mend."""

F32 = NDArray[np.float32]


def to_grid(codes_LR: NDArray[np.integer], bits: int) -> F32:
    """Grid values c + 1/2 - 2^(b-1) of codes: the cosine knows no scale, so the step is 1."""
    return codes_LR.astype(np.float32) + np.float32(0.5 - 2 ** (bits - 1))


def round_to_grid(z_LR: F32, bits: int) -> F32:
    """Grid values nearest to z, whose largest magnitude is 2^(b-1)."""
    top = np.float32(2 ** (bits - 1) - 0.5)
    a_LR = np.floor(z_LR)
    a_LR += np.float32(0.5)
    return np.clip(a_LR, -top, top, out=a_LR)


def encode(o_RL: F32, bits: int, rounds: int) -> tuple[NDArray[np.uint16], F32]:
    """(codes [R, L], factors [R, 2]): norm |o| and g = |o|^2 / <o, a>, a the grid vector; both 0 for a zero row."""
    codes_RL = np.empty(o_RL.shape, np.uint16)
    factors_R2 = np.zeros((len(o_RL), 2), np.float32)
    for start in range(0, len(o_RL), ROWS):
        rows = slice(start, start + ROWS)
        codes_RL[rows], factors_R2[rows] = _encode_block(o_RL[rows], bits, rounds)
    return codes_RL, factors_R2


def _encode_block(o_RL: F32, bits: int, rounds: int) -> tuple[NDArray[np.uint16], F32]:
    o_LR = np.ascontiguousarray(o_RL.T)
    largest_R = np.abs(o_LR).max(axis=0)
    scale_R = np.float32(2 ** (bits - 1)) / np.where(largest_R > 0, largest_R, np.float32(1))
    z_LR = np.asarray(o_LR * scale_R, dtype=np.float32)
    a_LR = round_to_grid(z_LR, bits)
    if bits > 1 and rounds:
        adjust(z_LR, a_LR, bits, rounds)
    inner_R, _ = compute_moments(z_LR, a_LR)
    squared_R = _sum_products(o_LR, o_LR)
    inner_R /= scale_R
    g_R = np.divide(squared_R, inner_R, out=np.zeros_like(inner_R), where=inner_R > 0)
    codes_LR = a_LR + np.float32(2 ** (bits - 1) - 0.5)
    return codes_LR.T.astype(np.uint16), np.stack([np.sqrt(squared_R), g_R], axis=1).astype(np.float32)


def _sum_products(x_LR: F32, y_LR: F32) -> NDArray[np.float64]:
    """Column sums in float64, line by line: the order of additions never changes."""
    total_R = np.zeros(x_LR.shape[1])
    for x_R, y_R in zip(x_LR, y_LR, strict=True):
        total_R += np.multiply(x_R, y_R, dtype=np.float64)
    return total_R


def compute_moments(z_LR: F32, a_LR: F32) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(<z, a>, |a|^2) of each row."""
    return _sum_products(z_LR, a_LR), _sum_products(a_LR, a_LR)


def adjust(z_LR: F32, a_LR: F32, bits: int, rounds: int) -> None:
    """Move codes, dimension after dimension, wherever that raises cos(z, a); in place. cos never falls.

    With the other dimensions fixed, A = <z, a> - z_i a_i and B = |a|^2 - a_i^2, the best free value is z_i B / A; it
    is snapped to the grid and taken if cos rises, in float32; each round is checked again in float64 and undone for
    rows that it did not help. A row is done once a round mends little or nothing.
    """
    inner_R, norm_R = compute_moments(z_LR, a_LR)
    squared_R = _sum_products(z_LR, z_LR)
    columns = np.arange(z_LR.shape[1])
    z, a = z_LR, a_LR
    for _ in range(rounds):
        before = a.copy()
        moved_R = _round(z, a, inner_R.astype(np.float32), norm_R.astype(np.float32), bits)
        new_inner_R, new_norm_R = compute_moments(z, a)
        worse_R = new_inner_R**2 * norm_R <= inner_R**2 * new_norm_R * (1 + 1e-8)
        if worse_R.any():
            a[:, worse_R] = before[:, worse_R]
        left_R = squared_R - new_inner_R**2 / new_norm_R  # |z|^2 sin^2
        moved_R &= ~worse_R & (squared_R - inner_R**2 / norm_R - left_R > ENOUGH * left_R)
        if a is not a_LR:
            a_LR[:, columns] = a
        if not moved_R.any():
            return
        columns = columns[moved_R]
        inner_R, norm_R, squared_R = new_inner_R[moved_R], new_norm_R[moved_R], squared_R[moved_R]
        z, a = np.ascontiguousarray(z[:, moved_R]), np.ascontiguousarray(a[:, moved_R])


def _round(z_LR: F32, a_LR: F32, inner_R: F32, norm_R: F32, bits: int) -> NDArray[np.bool_]:
    """One pass over the dimensions; updates a and returns which rows moved.

    While A > 0 the snapped value has z's sign, so <z, a> stays positive and one sign test is enough. Every line below
    is one call over a block of rows: fewer calls are the speed.
    """
    top = np.float32(2 ** (bits - 1) - 0.5)
    half = np.float32(0.5)
    A, B, t, I2, N2, v = (np.empty_like(inner_R) for _ in range(6))
    accept, positive = np.empty(len(inner_R), bool), np.empty(len(inner_R), bool)
    moved_R = np.zeros(len(inner_R), bool)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for z, a in zip(z_LR, a_LR, strict=True):
            np.multiply(z, a, out=A)
            np.subtract(inner_R, A, out=A)
            np.multiply(a, a, out=B)
            np.subtract(norm_R, B, out=B)
            np.multiply(z, B, out=t)
            np.divide(t, A, out=t)
            np.floor(t, out=t)
            np.add(t, half, out=t)
            np.minimum(t, top, out=t)
            np.maximum(t, -top, out=t)
            np.not_equal(t, a, out=accept)
            np.greater(A, 0, out=positive)
            np.logical_and(accept, positive, out=accept)
            np.multiply(z, t, out=I2)
            np.add(I2, A, out=I2)
            np.multiply(t, t, out=N2)
            np.add(N2, B, out=N2)
            np.multiply(inner_R, inner_R, out=v)
            np.multiply(v, N2, out=v)
            np.multiply(I2, I2, out=B)
            np.multiply(B, norm_R, out=B)
            np.greater(B, v, out=positive)
            np.logical_and(accept, positive, out=accept)
            np.copyto(a, t, where=accept)
            np.copyto(inner_R, I2, where=accept)
            np.copyto(norm_R, N2, where=accept)
            np.logical_or(moved_R, accept, out=moved_R)
    return moved_R
