"""Random draws that depend on what is drawn for, not on who draws: counter-based generators keyed by content.

Equal for any number of workers, ranks and resume points; no global generator, no hash().
"""

from __future__ import annotations

import hashlib

import numpy as np


def digest(*parts: object) -> bytes:
    """32 bytes of the parts; each is separated, so ('ab', 'c') is not ('a', 'bc')."""
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()


def generator(*parts: object) -> np.random.Generator:
    """A Philox generator whose key is the sha256 of the parts."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest(*parts)[:16], "little")))


def number(*parts: object) -> int:
    """A whole number below 2**63 drawn by the parts."""
    return int.from_bytes(digest(*parts)[:8], "little") >> 1
