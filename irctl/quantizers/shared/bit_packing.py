"""Small integers packed into bytes: little-endian bit stream, row after row, each row padded to whole bytes.

8 bits are one byte a value, 4 bits two a byte with the low nibble first, 16 bits two bytes, low byte first.
Dimension key: N rows, M values a row, C bytes a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROWS = 4096  # rows expanded to single bits at once
_UNPACKED = 128  # the same of rows that are read: they stay in the CPU's cache


def count_bytes(values: int, bits: int) -> int:
    """Bytes of one row."""
    return (values * bits + 7) // 8


def pack(values_NM: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Values in [0, 2^bits) as uint8 [N, C]."""
    n, m = values_NM.shape
    if bits == 8:
        return np.ascontiguousarray(values_NM, dtype=np.uint8)
    if bits == 16:
        return np.ascontiguousarray(values_NM.astype("<u2")).view(np.uint8).reshape(n, 2 * m)
    if bits == 4 and m % 2 == 0:
        low = values_NM.astype(np.uint8)
        return np.ascontiguousarray(low[:, 0::2] | (low[:, 1::2] << 4))
    out_NC = np.empty((n, count_bytes(m, bits)), np.uint8)
    shifts = np.arange(bits, dtype=np.uint16)
    for a in range(0, n, _ROWS):
        ones = (values_NM[a : a + _ROWS, :, None].astype(np.uint16) >> shifts) & 1
        out_NC[a : a + _ROWS] = np.packbits(ones.astype(np.uint8).reshape(len(ones), -1), axis=1, bitorder="little")
    return out_NC


def unpack(codes_NC: NDArray[np.uint8], values: int, bits: int) -> NDArray[np.uint16]:
    """The values [N, M] of packed rows."""
    n = len(codes_NC)
    if bits == 8:
        return codes_NC[:, :values].astype(np.uint16)
    if bits == 16:
        return np.ascontiguousarray(codes_NC).view("<u2").reshape(n, values).astype(np.uint16)
    if bits == 4 and values % 2 == 0:
        out = np.empty((n, values), np.uint16)
        out[:, 0::2] = codes_NC & 15
        out[:, 1::2] = codes_NC >> 4
        return out
    out_NM = np.empty((n, values), np.uint16)
    narrow: Any = np.uint8 if bits <= 8 else np.uint16
    for a in range(0, n, _UNPACKED):
        some_NC = codes_NC[a : a + _UNPACKED]
        if bits < 8 and values % 8 == 0:  # eight values are so many bytes as they have bits
            _unpack_eights(some_NC, bits, out_NM[a : a + _UNPACKED])
            continue
        ones = np.unpackbits(some_NC, axis=1, bitorder="little", count=values * bits)
        ones_NMb = ones.reshape(len(ones), values, bits)
        some_NM = ones_NMb[:, :, 0].astype(narrow)
        for bit in range(1, bits):
            some_NM |= ones_NMb[:, :, bit].astype(narrow) << narrow(bit)
        out_NM[a : a + _UNPACKED] = some_NM
    return out_NM


def _unpack_eights(codes_NC: NDArray[np.uint8], bits: int, out_NM: NDArray[np.uint16]) -> None:
    """Unpack values of less than 8 bits: each lies in one byte or in two neighbours."""
    bytes_NGb = codes_NC[:, : out_NM.shape[1] * bits // 8].reshape(len(codes_NC), -1, bits)
    for number in range(8):
        first, shift = divmod(number * bits, 8)
        value_NG = bytes_NGb[:, :, first] >> np.uint8(shift)
        if shift + bits > 8:
            value_NG |= bytes_NGb[:, :, first + 1] << np.uint8(8 - shift)
        out_NM[:, number::8] = value_NG & np.uint8((1 << bits) - 1)
